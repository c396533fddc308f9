"""What people look at: curves, grids, trees, films and pages, drawn from arrays or from runs.

An episode is played where a film needs one. Nothing here trains or judges.
"""
