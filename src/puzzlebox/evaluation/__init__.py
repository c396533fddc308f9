"""How good is it, and what is wrong with it? Scores, comparisons, judges, the doctor.

Reads runs and plays with what they learned; changes no weight, draws nothing.
"""
