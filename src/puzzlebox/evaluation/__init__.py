"""How good is it, and what is wrong with it? Scores, comparisons, judges, the doctor.

It reads runs and plays with what they learned. Nothing here changes a weight or draws a picture.
"""
