"""Levels made from a seed: a row of pieces, each of which can be passed.

Every piece begins and ends on flat ground, there is room for a run-up before a wall and a loop, and pits are no wider
than a jump. So every level can be completed, which the tests show by planning.
"""

from __future__ import annotations

import random

HEIGHT = 12  # rows
PIECES = 8
ROOM = 9  # flat tiles before a wall or a loop


class _Map:
    """A level while it is made: columns of characters, each from the bottom up; heights are in tiles."""

    def __init__(self) -> None:
        self.columns: list[list[str]] = []

    def ground(self, number: int, height: int, top: str = "") -> None:
        """``number`` columns of ground, each with ``top`` on it."""
        for _ in range(number):
            column = "#" * height + top
            self.columns.append(list(column.ljust(HEIGHT, ".")))

    def slope(self, height: int, to: int) -> None:
        """One tile up or down per column."""
        for h in range(height, to):
            self.ground(1, h, "/")
        for h in range(height, to, -1):
            self.ground(1, h - 1, "\\")

    def put(self, column: int, height: int, mark: str) -> None:
        """Writes one character."""
        self.columns[column][height] = mark

    def rows(self) -> tuple[str, ...]:
        """The level as text, the highest row first."""
        return tuple("".join(column[h] for column in self.columns) for h in reversed(range(HEIGHT)))


def generate(seed: int) -> tuple[str, ...]:
    """The rows of the level with this seed, the highest first; the same seed always gives the same level."""
    draw = random.Random(seed)
    level, height = _Map(), draw.randint(1, 3)
    level.ground(6, height)
    level.put(3, height, "S")
    for piece in _pieces(draw):
        height = piece(draw, level, height)
    level.ground(6, height)
    level.put(len(level.columns) - 3, height, "G")
    return level.rows()


def _pieces(draw: random.Random) -> list:
    """A wall, a loop, and six pieces drawn at random, in random order.

    A piece is a function that appends itself to a level whose ground ends at ``height``, and returns the height at
    which it ends itself.
    """
    others = [_pit, _hill, _step, _bridge, _meadow]
    chosen = [_wall, _loop, *(draw.choice(others) for _ in range(PIECES - 2))]
    draw.shuffle(chosen)
    return chosen


def _pit(draw: random.Random, level: _Map, height: int) -> int:
    width = draw.randint(2, 4)
    level.ground(width, 0)
    for i in range(width):
        level.put(len(level.columns) - width + i, height + 2, "o")
    level.ground(draw.randint(4, 6), height)
    return height


def _hill(draw: random.Random, level: _Map, height: int) -> int:
    to = draw.choice([h for h in (1, 2, 3, 4) if h != height])
    level.slope(height, to)
    level.ground(draw.randint(3, 5), to)
    level.put(len(level.columns) - 2, to, "o")
    return to


def _step(draw: random.Random, level: _Map, height: int) -> int:
    to = height + 1 if height < 4 else height - 2
    level.ground(draw.randint(4, 6), to)
    return to


def _bridge(draw: random.Random, level: _Map, height: int) -> int:
    level.ground(7, 0)
    for i in (2, 3, 4):
        level.put(len(level.columns) - 7 + i, height, "=")
    level.put(len(level.columns) - 4, height + 2, "o")
    level.ground(draw.randint(4, 6), height)
    return height


def _meadow(draw: random.Random, level: _Map, height: int) -> int:
    """An enemy between rings."""
    length = draw.randint(8, 10)
    level.ground(length, height)
    level.put(len(level.columns) - length // 2, height, "e")
    for i in (1, 2):
        level.put(len(level.columns) - i, height, "o")
    return height


def _wall(draw: random.Random, level: _Map, height: int) -> int:
    level.ground(ROOM, height)
    rise = draw.randint(3, 5)
    level.ground(1, height, "|" * rise)
    level.ground(4, height + rise)
    down = draw.randint(1, 3)
    level.slope(height + rise, down)
    level.ground(3, down)
    return down


def _loop(draw: random.Random, level: _Map, height: int) -> int:
    level.ground(ROOM, height)
    level.ground(1, height, "O")
    level.ground(draw.randint(4, 6), height)
    return height
