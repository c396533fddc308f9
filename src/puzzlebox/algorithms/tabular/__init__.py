"""Tables: exact solvers, and learning by trial and error with a number per state and action."""
