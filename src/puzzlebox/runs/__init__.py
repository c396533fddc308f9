"""A run on disk, and agents from it: directories, checkpoints, configs, and what they describe, built again.

Nothing here trains, plays or judges: a room above that wants agents asks `build`.
"""
