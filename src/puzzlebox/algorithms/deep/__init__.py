"""Networks that learn from worlds: one file per algorithm."""
