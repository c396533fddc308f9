"""A policy acts: in worlds, on prompts, at a board, with or without a search before each move. Out comes a trajectory.

Here, too, is what judges in the place of a reward: a learned model, or a person at the keyboard. Nothing here changes a
weight, and nothing knows which algorithm asked.
"""
