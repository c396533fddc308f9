"""Whole studies, each one command: solving, bandits, RLHF, the league, the reward lab, the tour.

A study combines the rooms below and ends in figures, pictures or a page; the tour goes through the other studies.
"""
