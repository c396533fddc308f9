"""Six hundred solved Connect 4 positions, held fixed: 200 each of the beginning, the middle and the end of games.

`benchmarks/connect_four_positions.py` made them, one from each of many games of random moves that do not lose at once.
Only positions in which the choice matters were kept: some legal move is optimal, and some is not.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.games.connect_four import ConnectFourState, board_after
from puzzlebox.envs.games.perfect import Solution, solution
from puzzlebox.envs.games.stones import ILLEGAL

PHASES = {"beginning": (8, 13), "middle": (14, 24), "end": (25, 36)}  # stones on the board
FILE = "connect_four_positions.txt"


class SolvedPositions(NamedTuple):
    """``N`` positions, in none of which the game is over."""

    moves: tuple[str, ...]  # the columns played, such as "334"
    phase: np.ndarray  # str [N]
    states: ConnectFourState  # leaves [N, ...]
    solution: Solution  # leaves [N, 7]


def load(phase: str | None = None) -> SolvedPositions:
    """All positions, or those of one of the `PHASES`."""
    text = files("puzzlebox.envs.games").joinpath(FILE).read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    rows = [row for row in rows if phase in (None, row[0])]
    boards = np.stack([board_after(tuple(map(int, moves))) for _, moves, *_ in rows])
    scores = np.array([[ILLEGAL if score == "x" else int(score) for score in row[2:]] for row in rows], np.int32)
    over = np.zeros(len(rows), bool)
    return SolvedPositions(
        tuple(row[1] for row in rows),
        np.array([row[0] for row in rows]),
        ConnectFourState(jnp.asarray(boards), jnp.asarray(over)),
        solution(scores, over),
    )
