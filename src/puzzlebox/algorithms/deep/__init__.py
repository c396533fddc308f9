"""Networks that learn from worlds: one file per algorithm, and the optimiser that all of them use."""
