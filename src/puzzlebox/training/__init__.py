"""The loop and the way back into it: train, resume, and what is checked before."""
