"""What people look at: curves, grids, trees, films and pages, drawn from runs or from arrays."""
