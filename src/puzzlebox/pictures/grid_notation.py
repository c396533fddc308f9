"""Policies and paths as people write them: ``NEEN``, ``4,0:NNEE``, ``4,0>3,0>2,0``; and solved grids as text.

Cells are ROW,COLUMN, counted from 0 at the top left. Worlds without a map use numbers: ``17:0,0,2`` is state 17 and
then actions 0, 0, 2.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from puzzlebox.errors import UsageError
from puzzlebox.types import MDP, Layout

ARROWS = {"N": "↑", "E": "→", "S": "↓", "W": "←"}
STEPS = {(-1, 0): "N", (0, 1): "E", (1, 0): "S", (0, -1): "W"}
BLOCKS = {"#": "█", "G": "G", "H": "H"}


class Plan(NamedTuple):
    """A path to be played: where it starts, and its actions."""

    text: str
    state: int
    actions: list[int]


def read_path(text: str, mdp: MDP, layout: Layout | None) -> Plan:
    """``START:MOVES``, or ``MOVES`` from the only start, or the cells one after another.

    Raises UsageError for a cell outside the map, cells that are no neighbours, or an unknown move.
    """
    # cells: the moves are the differences between neighbours
    if ">" in text:
        if layout is None:
            raise UsageError(f"path '{text}': this world has no map, so write it as STATE:ACTION,ACTION,...")
        cells = [_cell(part, text, layout) for part in text.split(">")]
        moves = ""
        for (row, column), (to_row, to_column) in itertools.pairwise(cells):
            letter = STEPS.get((to_row - row, to_column - column))
            if letter is None:
                raise UsageError(f"path '{text}': {row},{column} and {to_row},{to_column} are no neighbours")
            moves += letter
        start = cells[0][0] * len(layout.rows[0]) + cells[0][1]
        return Plan(text, start, _actions(moves, text, mdp, layout))

    # moves, with or without a start
    before, colon, moves = text.rpartition(":")
    if colon and layout is not None and "," in before:
        row, column = _cell(before, text, layout)
        start = row * len(layout.rows[0]) + column
    elif colon:
        start = _number(before, len(mdp.next_state), f"path '{text}': state")
    else:
        starts = np.flatnonzero(np.asarray(mdp.start))
        if len(starts) != 1:
            raise UsageError(
                f"path '{text}' needs a start, e.g. 0,0:{moves}: this world starts in {len(starts)} states"
            )
        start = int(starts[0])
    return Plan(text, start, _actions(moves, text, mdp, layout))


def read_policy(text: str, mdp: MDP, layout: Layout | None) -> np.ndarray:
    """A policy, int [S] or float [S, U]: ``random``; a compass letter or action number for each state; or one for all.

    Letters may be split by spaces, commas, slashes or lines; at walls, goals and holes any character will do.
    Raises UsageError for the wrong number of moves or an unknown one.
    """
    num_states, num_actions = np.asarray(mdp.next_state).shape[:2]
    if text.strip().lower() == "random":
        return np.full((num_states, num_actions), 1 / num_actions)
    parts = text.replace("/", " ").replace(",", " ").split()
    if layout is not None and not all(part.isdigit() for part in parts):
        letters = "".join(parts).upper()
        letters = letters * num_states if len(letters) == 1 else letters
        if len(letters) != num_states:
            raise UsageError(f"the policy has {len(letters)} moves; this map has {num_states} cells, walls included")
        free = np.isin(list("".join(layout.rows)), [".", "S"])
        chosen = [letter if is_free else layout.actions[0] for letter, is_free in zip(letters, free, strict=True)]
        return np.array(_actions("".join(chosen), "policy", mdp, layout), np.int32)
    parts = parts * num_states if len(parts) == 1 else parts
    if len(parts) != num_states:
        raise UsageError(f"the policy has {len(parts)} moves; this world has {num_states} states")
    return np.array([_number(part, num_actions, "policy: action") for part in parts], np.int32)


def policy_text(layout: Layout, policy: np.ndarray) -> str:
    """The map with an arrow in every free cell."""
    cells = iter(np.asarray(policy).tolist())
    lines = []
    for row in layout.rows:
        marks = [(character, next(cells)) for character in row]
        lines.append(" ".join(BLOCKS.get(character) or ARROWS[layout.actions[action]] for character, action in marks))
    return "\n".join(lines)


def value_text(layout: Layout, values: np.ndarray) -> str:
    """The map with the value of every free cell."""
    shown = np.asarray(values).reshape(len(layout.rows), -1)
    free = [[f"{value:.2f}" for value in row] for row in shown]
    width = max(len(text) for row in free for text in row)
    lines = [
        " ".join((BLOCKS.get(character) or text).rjust(width) for character, text in zip(row, texts, strict=True))
        for row, texts in zip(layout.rows, free, strict=True)
    ]
    return "\n".join(lines)


def _cell(text: str, path: str, layout: Layout) -> tuple[int, int]:
    """ROW,COLUMN as numbers; raises UsageError outside the map."""
    row, _, column = text.strip().partition(",")
    return (
        _number(row, len(layout.rows), f"path '{path}': row"),
        _number(column, len(layout.rows[0]), f"path '{path}': column"),
    )


def _actions(moves: str, path: str, mdp: MDP, layout: Layout | None) -> list[int]:
    """Compass letters, or numbers with commas, as action numbers; raises UsageError for any other."""
    num_actions = np.asarray(mdp.next_state).shape[1]
    moves = moves.strip()
    if layout is None or any(character.isdigit() for character in moves):
        return [_number(part, num_actions, f"path '{path}': action") for part in moves.split(",") if part.strip()]
    wrong = [letter for letter in moves.upper() if letter not in layout.actions]
    if wrong:
        raise UsageError(f"'{wrong[0]}' in {path} is no move; use {', '.join(sorted(layout.actions))}")
    return [layout.actions.index(letter) for letter in moves.upper()]


def _number(text: str, limit: int, what: str) -> int:
    """A whole number below ``limit``; raises UsageError that begins with ``what``."""
    if not text.strip().isdigit() or int(text) >= limit:
        raise UsageError(f"{what} '{text.strip()}' is not a whole number from 0 to {limit - 1}")
    return int(text)
