"""Tabular algorithms: exact solvers of known MDPs, and learners with a table of action values."""
