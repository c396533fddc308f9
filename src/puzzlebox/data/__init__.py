"""What is learned from, and the files it lies in: replay, text and tokens, models of others, rows.

Nothing here acts or trains.
"""
