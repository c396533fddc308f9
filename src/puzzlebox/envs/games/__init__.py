"""Games of one player, or of two in turn: rules, boards as text, perfect players."""
