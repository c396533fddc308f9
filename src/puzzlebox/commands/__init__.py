"""The commands, a file per family: for every algorithm, for language models, for games, for video games.

A command is a record: the function of a room below that it calls, its flags and its help. It computes nothing itself,
and what it needs is imported when it runs, so that every start is quick.
"""

from __future__ import annotations

from puzzlebox.commands import games, language, training, video

COMMANDS = training.COMMANDS | video.COMMANDS | games.COMMANDS | language.COMMANDS
PYTHON_CALLS = {command.python or name.replace("-", "_"): command.call for name, command in COMMANDS.items()}
