"""How good is it, and what is wrong with it? Scores, comparisons, judges, the doctor.

It reads runs and plays with what they learned. It changes no weight and draws nothing.
"""
