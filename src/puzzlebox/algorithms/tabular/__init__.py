"""Tables: exact solvers of known worlds, and learning by trial and error with a number per state and action."""
