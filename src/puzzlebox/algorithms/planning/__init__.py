"""Agents that search before they move and learn from what the search found; the search itself is in `acting`."""
