"""A run on disk, and agents from it: directories, checkpoints, configs, and what they describe, built again.

The loop that trains and all that plays or judges are in rooms above; one that wants agents asks `build`.
"""
