"""What was meant by a name that is not one of ours: a world behind a prefix, or a name from another library."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable

import gymnasium

from puzzlebox.envs.text import TASKS
from puzzlebox.errors import UsageError, unknown

ATARI = re.compile(r"^(ALE/)?(?P<game>\w+?)(-ram)?(NoFrameskip|Deterministic)?(-v\d+)?$")
VERSION = re.compile(r"-v\d+$")
MOST = 8  # console games with the same beginning that an error lists


def unknown_environment(name: str, known: Iterable[str]) -> UsageError:
    """The error for a world that does not exist: the same name behind a prefix, or the nearest of those ``known``."""
    if name in TASKS:
        return UsageError(f"{name} is a task for language models, not a world")
    base = VERSION.sub("", name)
    ours = [option for option in known if VERSION.search(option) and VERSION.sub("", option) == base]
    if there := ours or behind_prefix(name):
        return UsageError(f"unknown environment '{name}'; did you mean {' or '.join(there)}?")
    return unknown("environment", name, known)


def behind_prefix(name: str) -> list[str]:
    """Worlds of other libraries that are called ``name`` there, as they are called here."""
    from puzzlebox.envs import atari, minatar, retro_games
    from puzzlebox.envs.games import pgx_game

    registered = [known for known, spec in gymnasium.registry.items() if "ale_py" not in str(spec.entry_point)]
    base = VERSION.sub("", name)
    of_gymnasium = {name} & set(registered) or {base} & {VERSION.sub("", known) for known in registered}
    there = [f"gym:{found}" for found in of_gymnasium]
    word = snake(match["game"]) if (match := ATARI.match(name)) else ""
    listed = {"minatar": minatar.GAMES, "pgx": pgx_game.GAMES}
    consoles: list[str] = []
    with contextlib.suppress(UsageError):  # an extra that is not installed
        listed["atari"] = atari.all_games()
    with contextlib.suppress(UsageError):
        consoles = [game for game in retro_games.all_games() if len(word) > 3 and snake(game).startswith(word)]
    there += [f"{prefix}:{word}" for prefix, games in sorted(listed.items()) if word in games]
    return there or [f"retro:{game}" for game in consoles[:MOST]]


def snake(name: str) -> str:
    """``space_invaders`` of ``SpaceInvaders``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
