"""The ways to turn or mirror a board that change nothing but names, as permutations of observation and moves.

A `Turn` takes an array [rows, columns, ...] and turns or mirrors its first two axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from puzzlebox.types import Symmetries

Turn = Callable[[np.ndarray], np.ndarray]


def identity(board: np.ndarray) -> np.ndarray:
    """The board as it is."""
    return board


def mirror(board: np.ndarray) -> np.ndarray:
    """Left becomes right."""
    return board[:, ::-1]


def half_turn(board: np.ndarray) -> np.ndarray:
    """Turned by 180 degrees."""
    return board[::-1, ::-1]


def transpose(board: np.ndarray) -> np.ndarray:
    """Mirrored in the diagonal from the top left."""
    return board.swapaxes(0, 1)


def anti_transpose(board: np.ndarray) -> np.ndarray:
    """Mirrored in the other diagonal."""
    return transpose(half_turn(board))


SQUARE: tuple[Turn, ...] = (
    identity,
    np.rot90,
    half_turn,
    lambda board: np.rot90(board, 3),
    mirror,
    lambda board: board[::-1],
    transpose,
    anti_transpose,
)


def cell_moves(turns: Sequence[Turn], shape: tuple[int, ...], others: int = 0) -> Symmetries:
    """Symmetries of a game whose moves are the cells of its board, ``columns · row + column``.

    ``shape`` is (rows, columns, planes), that of an observation; ``others`` further moves (a pass) keep their numbers.
    """
    rows, columns, planes = shape
    numbers = np.arange(rows * columns * planes, dtype=np.int32).reshape(shape)
    cells = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    rest = np.arange(rows * columns, rows * columns + others, dtype=np.int32)
    return Symmetries(
        np.stack([turn(numbers).reshape(-1) for turn in turns]),
        np.stack([np.concatenate([turn(cells).reshape(-1), rest]) for turn in turns]),
    )


def none(shape: tuple[int, ...], moves: int) -> Symmetries:
    """The symmetries of a game without any: the board as it is, with observations of ``shape``."""
    return Symmetries(np.arange(np.prod(shape), dtype=np.int32)[None], np.arange(moves, dtype=np.int32)[None])
