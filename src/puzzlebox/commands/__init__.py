"""The commands: each takes the parsed arguments, shows its result to a person unless ``--json`` was asked for, and
returns what ``--json`` prints. What a command needs is imported when it runs, so that every start is quick.
"""

from __future__ import annotations

from puzzlebox.commands import games, language, training, video

COMMANDS = training.COMMANDS | video.COMMANDS | games.COMMANDS | language.COMMANDS
