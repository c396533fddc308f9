"""Tic-tac-toe solved by looking at everything: minimax over all 5,478 positions that can occur.

The result is one table, so perfect play costs one look-up, also within a compiled program.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.games.stones import ILLEGAL
from puzzlebox.types import Array

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
POWERS = 3 ** np.arange(9, dtype=np.int32)
Board = tuple[int, ...]  # 1 own, -1 the other's, 0 free; seen by the player to move


def scores(board: np.ndarray) -> np.ndarray:
    """Scores int32 [..., 9] of all moves on boards [..., 3, 3] of 1 (first player) and −1; see `perfect`."""
    return table()[code(np.asarray(board))].astype(np.int32)


def code(board: Any) -> Any:
    """The row of `table` for boards [..., 3, 3] of 1 (first player) and −1; NumPy or JAX arrays."""
    cells = board.reshape(*board.shape[:-2], 9)
    to_move = 1 - 2 * cells.sum(-1, keepdims=True)
    return ((cells * to_move + 1) * POWERS).sum(-1)


@cache
def table() -> np.ndarray:
    """Scores int8 [3⁹, 9] of all moves in every position, by its `code`; rows of positions that cannot occur are 0."""
    found = np.zeros((3**9, 9), np.int8)
    for board, moves in solve_all().items():
        found[int(((np.array(board) + 1) * POWERS).sum())] = [ILLEGAL if move is None else move for move in moves]
    return found


@cache
def solve_all() -> dict[Board, tuple[int | None, ...]]:
    """Score of every move (None: illegal) in every position that can occur and is not over."""
    solved: dict[Board, tuple[int | None, ...]] = {}

    def value(board: Board) -> int:
        """The best score of the player to move, whose opponent has just moved."""
        if any(all(board[cell] == -1 for cell in line) for line in LINES):
            return board.count(-1) - 6
        if 0 not in board:
            return 0
        if board not in solved:
            solved[board] = tuple(
                None if stone else -value(tuple(-1 if i == cell else -s for i, s in enumerate(board)))
                for cell, stone in enumerate(board)
            )
        return max(score for score in solved[board] if score is not None)

    value((0,) * 9)
    return solved


def scores_in_program(board: Array) -> Array:
    """`scores` within a compiled program: int32 [..., 9]."""
    return jnp.asarray(table())[code(board.astype(jnp.int32))].astype(jnp.int32)
