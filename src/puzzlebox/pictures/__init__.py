"""What people look at: curves, grids, trees, films and pages, drawn from arrays or from runs.

Where a picture needs an episode or a search, it is made for it. Nothing here trains or judges.
"""
