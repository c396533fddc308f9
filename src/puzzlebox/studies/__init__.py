"""Whole studies, each one command: solving, bandits, RLHF, the league, the reward lab, the tour.

A study puts the rooms below together and ends in figures, pictures or a page; the tour goes through the others.
"""
