"""A policy acts, in worlds, on prompts or at a board, with or without a search before each move: trajectories.

Here too is what judges instead of a reward function: a learned model, or a person at the keyboard. Nothing here changes
a weight, and nothing knows which algorithm called it.
"""
