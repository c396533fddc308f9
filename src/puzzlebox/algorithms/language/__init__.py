"""Algorithms for language models: one file each."""
