"""Players meet: matches, the arena, a person at the terminal, chess programs."""
