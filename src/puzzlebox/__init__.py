"""Puzzlebox: reinforcement learning from a 5×5 maze to a language model."""

__version__ = "0.1.0"
