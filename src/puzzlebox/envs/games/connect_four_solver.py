"""Connect 4 solved: exact scores by BitBully (Markus Thill), an optional package.

It searches by alpha-beta on bit boards with a transposition table, and has a book of all positions of twelve stones.
A position takes milliseconds, a second at worst (with 13 to 16 stones).
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np

from puzzlebox.envs.games.connect_four import COLUMNS, ROWS
from puzzlebox.envs.games.stones import ILLEGAL
from puzzlebox.errors import missing_extra


def scores(board: np.ndarray, terminated: np.ndarray) -> np.ndarray:
    """Scores int32 [..., 7] of all moves on boards [..., 6, 7] of 1 (first player) and −1; see `perfect`.

    Where ``terminated`` [...] is True, all are 0. Raises UsageError where BitBully is not installed.
    """
    solver()
    boards = np.ascontiguousarray(np.asarray(board, np.int8).reshape(-1, ROWS, COLUMNS))
    over = np.asarray(terminated).reshape(-1)
    found = [[0] * COLUMNS if done else _scores(one.tobytes()) for one, done in zip(boards, over, strict=True)]
    return np.array(found, np.int32).reshape(*board.shape[:-2], COLUMNS)


@cache
def solver() -> tuple[Any, Any]:
    """BitBully's module and one solver with its book; reading it takes about a second."""
    try:
        import bitbully.bitbully_core as bitbully
        from bitbully_databases import BitBullyDatabases
    except ImportError:
        raise missing_extra("bitbully, which solves Connect 4,", "games") from None
    return bitbully, bitbully.BitBullyCore(BitBullyDatabases.get_database_path("12-ply-dist"))


@lru_cache(maxsize=200_000)
def _scores(board: bytes) -> tuple[int, ...]:
    """The scores of one board, int8 [6, 7] as bytes, so that the cache can know it again."""
    bitbully, solve = solver()
    cells = np.frombuffer(board, np.int8).reshape(ROWS, COLUMNS)
    position = bitbully.BoardCore()
    stones = np.where(cells == -1, 2, cells).tolist()
    if not position.setBoard(stones):
        raise ValueError(f"BitBully refuses the board {stones}")
    return tuple(ILLEGAL if score < ILLEGAL else score for score in solve.scoreMoves(position))
