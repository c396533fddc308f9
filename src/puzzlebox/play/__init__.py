"""Players meet: matches, the arena, a person at the terminal, chess programs.

A player is a rule (random, perfect), a tree search, or an agent from a run. Nothing here trains one.
"""
