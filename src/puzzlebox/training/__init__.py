"""The loop, the same for every algorithm, and the way back into it: train, resume, and what is checked before.

How an agent learns from a step is the algorithm's affair, what a run looks like on disk that of `runs`.
"""
