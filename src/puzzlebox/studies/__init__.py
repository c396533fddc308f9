"""Whole studies, each one command: solving, bandits, RLHF, the league, the reward lab, the tour."""
