"""The training loop, the same for every algorithm, and the ways into it: train, resume, and what is checked before.

How an agent learns is up to the algorithm; what a run looks like on disk, up to `runs`.
"""
