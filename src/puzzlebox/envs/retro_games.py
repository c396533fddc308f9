"""What stable-retro knows: its games, the ROM that each one needs, its start states and buttons."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from puzzlebox.envs.retro_worker import VARIABLES
from puzzlebox.errors import UsageError, missing_extra, unknown

SONIC_2 = "SonicTheHedgehog2-Genesis-v0"
TITLES = {SONIC_2: "Sonic The Hedgehog 2 (World) (Rev A), 1,048,576 bytes"}  # what a SHA-1 does not tell

RUN_AND_JUMP = ("LEFT", "RIGHT", "B", "LEFT+B", "RIGHT+B", "DOWN", "LEFT+DOWN", "RIGHT+DOWN", "DOWN+B")
DIRECTIONS = ("LEFT", "RIGHT", "UP", "DOWN")
FIRE = ("B", "BUTTON", "A")  # the first of them that a console has


def library() -> Any:
    """stable-retro's data module; raises UsageError where it is not installed."""
    try:
        import stable_retro
    except ImportError:
        raise missing_extra("stable-retro", "retro") from None
    return stable_retro.data


@lru_cache
def all_games() -> tuple[str, ...]:
    """The names of all games that stable-retro knows, whether their ROM is here or not."""
    return tuple(library().list_games())


def check_game(game: str) -> None:
    """Raises UsageError for an unknown game, with the nearest names."""
    if game not in all_games():
        raise unknown("console game", game, all_games())


def check_rom(game: str) -> None:
    """Raises UsageError where the game's ROM is missing, or another one."""
    if not has_rom(game):
        raise UsageError(f"retro:{game} needs a ROM that you own: {needed(game)}; import it: puzzlebox roms import DIR")
    if library().verify_hash(game):
        path = Path(library().get_romfile_path(game))
        digest = hashlib.sha1(path.read_bytes()).hexdigest()
        raise UsageError(f"{path} is another ROM: its SHA-1 is {digest}, but retro:{game} needs {needed(game)}")


def has_rom(game: str) -> bool:
    """Whether stable-retro has a ROM for this game."""
    try:
        library().get_romfile_path(game)
    except FileNotFoundError:
        return False
    return True


def needed(game: str) -> str:
    """Which file a game needs, in words."""
    sums = " or ".join(hashes(game))
    return f"{TITLES[game]}, SHA-1 {sums}" if game in TITLES else f"the file with SHA-1 {sums}"


def hashes(game: str) -> list[str]:
    """The SHA-1 sums of the ROMs that a game can be played with."""
    return _file(game, "rom.sha").read_text().split()


def is_platformer(game: str) -> bool:
    """Whether stable-retro can read from the game's memory what the six-term reward is made of."""
    return set(VARIABLES) <= set(json.loads(_file(game, "data.json").read_text())["info"])


def start_states(game: str, chosen: str) -> list[str]:
    """``A|B`` as a list; "all" gives all there are, "" the game's own. Raises UsageError for an unknown state."""
    known = library().list_states(game)
    if not chosen:
        default = json.loads(_file(game, "metadata.json").read_text()).get("default_state")
        return [default] if default else known[:1]
    states = known if chosen == "all" else chosen.split("|")
    for state in states:
        if state not in known:
            raise unknown(f"start state of retro:{game}", state, known)
    return states


def action_buttons(game: str, chosen: str) -> list[list[str]]:
    """The buttons pressed by each action; the first action presses none. Raises UsageError for an unknown button.

    Sonic's ten actions are those that move it; elsewhere every direction, each without and with the fire button.
    """
    known = [name for name in library().EMU_INFO[console(game)]["buttons"] if name]
    if chosen:
        actions = tuple(chosen.split("|"))
    elif is_platformer(game):
        actions = RUN_AND_JUMP
    else:
        fire = next((name for name in FIRE if name in known), known[0])
        actions = (*DIRECTIONS, fire, *(f"{direction}+{fire}" for direction in DIRECTIONS))
    pressed = [action.split("+") for action in actions]
    for name in (name for names in pressed for name in names):
        if name not in known:
            raise unknown(f"button of retro:{game}", name, known)
    return [[], *pressed]


def console(game: str) -> str:
    """The console of a game: Genesis for SonicTheHedgehog2-Genesis-v0. Raises UsageError where no emulator plays it."""
    name = game.split("-")[1]
    if name not in library().EMU_INFO:
        raise UsageError(f"retro:{game} is for {name}; there are emulators for {', '.join(library().EMU_INFO)}")
    return name


def _file(game: str, name: str) -> Path:
    return Path(library().get_file_path(game, name))
