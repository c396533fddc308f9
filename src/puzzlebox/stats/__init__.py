"""How sure are we? Intervals and tests over seeds, shares and games: numbers in, numbers out."""
