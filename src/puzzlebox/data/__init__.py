"""What is learned from, and the files it lies in: replay, text and tokens, rows, and files of models.

Nothing here acts or trains.
"""
