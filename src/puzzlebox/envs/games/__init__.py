"""Games for one player, or for two in turn: their rules, boards as text, and perfect players where a game is solved."""
