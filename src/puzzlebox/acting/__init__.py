"""A policy meets worlds, prompts or positions, and a trajectory comes out.

Nothing here changes a weight.
"""
