"""The commands, a file per family: for every algorithm, for language models, for games, for video games.

A command takes the parsed arguments, calls a room below, shows the result to a person unless ``--json`` was asked for,
and returns what ``--json`` prints; it computes nothing itself. What it needs is imported when it runs, so that every
start is quick.
"""

from __future__ import annotations

from puzzlebox.commands import games, language, training, video

COMMANDS = training.COMMANDS | video.COMMANDS | games.COMMANDS | language.COMMANDS
