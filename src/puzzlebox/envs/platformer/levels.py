"""Levels as text, and the tables that the physics reads.

One character is a tile of 1 × 1, the lowest row stands on height 0::

    #  ground        /  \\  a slope of one tile        |  a steep wall, as high as the column of them
    =  a platform    O  the foot of a loop           .  nothing
    o  a ring        e  an enemy, which walks to and fro on its flat piece of ground
    S  the start     G  the goal

A body can jump onto a platform from below, and can run under it. A column has at most one ring and one platform.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from puzzlebox.errors import UsageError

LENGTH = 160  # columns of every table, so that one compiled program serves every level
ENEMIES = 10
NOWHERE = -9.0  # the height of what is not there: the ground of a pit, a column without a platform or a ring
PATROL = 4  # tiles that an enemy walks to each side, at most
MARGIN = 16  # columns without anything before and behind a level, so that a window never leaves the tables


class Level(NamedTuple):
    """A level as tables with an entry per column, float32 ``[LENGTH]`` where nothing else is said; unit: tiles.

    The ground of column c goes from height ``left[c]`` to ``right[c]``.
    """

    left: np.ndarray  # height of the ground at the left edge, NOWHERE in a pit
    right: np.ndarray  # the same at the right edge
    platform: np.ndarray  # its top, or NOWHERE
    ring: np.ndarray  # the height of its middle, or NOWHERE
    loop: np.ndarray  # 1 where the foot of a loop stands in the middle of the column
    enemies: np.ndarray  # float32 [ENEMIES, 3]: the ends of its patrol, its height; a patrol at NOWHERE is no enemy
    start: np.ndarray  # float32 [2]: x, y
    goal: np.ndarray  # float32 []: x
    width: np.ndarray  # float32 []: columns of the level


def read_level(rows: tuple[str, ...], name: str = "the level") -> Level:
    """The tables of a level drawn as text, the highest row first.

    Raises UsageError, which names the column, for what cannot be read.
    """
    # Columns from the bottom up, then the tables column by column.
    width = len(rows[0])
    if width > LENGTH or any(len(row) != width for row in rows):
        raise UsageError(f"{name} must have rows of one length, at most {LENGTH}; they are {[len(r) for r in rows]}")
    columns = ["".join(row[c] for row in reversed(rows)) for c in range(width)]
    tables = np.full((4, LENGTH), NOWHERE, np.float32)
    for c, column in enumerate(columns):
        tables[:, c] = _column(column, f"column {c + 1} of {name}")
    left, right, platform, ring = tables
    loop = np.zeros(LENGTH, np.float32)
    loop[[c for c, column in enumerate(columns) if "O" in column]] = 1
    # Exactly one start and one goal.
    starts, goals = (_find(columns, mark) for mark in "SG")
    if len(starts) != 1 or len(goals) != 1:
        raise UsageError(f"{name} needs one start S and one goal G; it has {len(starts)} and {len(goals)}")
    (start,), (goal,) = starts, goals
    return Level(
        left,
        right,
        platform,
        ring,
        loop,
        _enemies(columns, left, right, loop),
        np.array([start + 0.5, right[start]], np.float32),
        np.array(goal + 0.5, np.float32),
        np.array(width, np.float32),
    )


def _column(column: str, where: str) -> tuple[float, float, float, float]:
    """Ground at the left and right edge, platform and ring of a column given from the bottom up."""
    solid = len(column) - len(column.lstrip("#"))
    above = column[solid:]
    left = right = float(solid) if solid else NOWHERE
    if above[:1] in ("/", "\\", "|"):
        steep = len(above) - len(above.lstrip("|"))
        rise = steep or 1
        left, right = (solid + 1, solid) if above[0] == "\\" else (solid, solid + rise)
        above = above[rise:]
    rest = above.replace(".", "")
    if any(rest.count(mark) > 1 for mark in "o=") or set(rest) - set("o=eSGO"):
        raise UsageError(f"{where} has '{rest}' above its ground; one each of o = and e S G O is possible")
    platform = len(column) - len(above) + above.index("=") + 1.0 if "=" in above else NOWHERE
    ring = len(column) - len(above) + above.index("o") + 0.5 if "o" in above else NOWHERE
    return left, right, platform, ring


def _find(columns: list[str], mark: str) -> list[int]:
    """The columns that contain the mark."""
    return [c for c, column in enumerate(columns) if mark in column]


def _enemies(columns: list[str], left: np.ndarray, right: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """The patrols, float32 [ENEMIES, 3]: flat ground around each enemy, at most `PATROL` tiles to either side."""
    table = np.full((ENEMIES, 3), NOWHERE, np.float32)
    homes = _find(columns, "e")
    if len(homes) > ENEMIES:
        raise UsageError(f"a level has at most {ENEMIES} enemies; this one has {len(homes)}")
    for i, home in enumerate(homes):
        flat = (left == left[home]) & (right == left[home]) & (loop == 0) & (np.arange(LENGTH) < len(columns))
        first = last = home
        while first > max(0, home - PATROL) and flat[first - 1]:
            first -= 1
        while last < home + PATROL and flat[last + 1]:
            last += 1
        table[i] = first + 0.5, last + 0.5, left[home]
    return table


# The start is at the foot of a wall: one has to go back for a run-up. Later a pit, a bridge, and a loop.
LEVEL_1 = (
    "...................o...............................................................................",
    "..................o.o..............................................................................",
    "...................................................................................................",
    "..............|########\\...........................................................................",
    "..............|#########\\..........................................................................",
    "..............|##########\\.........................................................................",
    "..............|###########\\..........................oo............................................",
    "..............|############\\............oo.........................................................",
    "..............|#############\\..........o..o..........==............................................",
    "....e....oooS.|##############\\.....e........ooo...####....#####\\ooo......O..ooo...e............G...",
    "########################################..############....##############################..#########",
)
# The bridge ends before a wall that stops whoever flies into it; the room for the run-up is below the bridge.
LEVEL_2 = (
    "...........................................................................................................",
    "...........................................................................................................",
    "...........................................................................................................",
    ".......................................................e...................................................",
    "...................................................|######\\................................................",
    ".........oo................o.......................|#######\\...............................................",
    "........o....e............o.o.............ooo......|########\\..............................................",
    "........./#####\\..................../###=======....|#########\\..................oo.........................",
    "...S..../#######\\...e............../####...........|##########\\............................................",
    "##########################...###########...........|###########\\ooo......O.........e..oo...O...........G...",
    "##########################...###############################################..##################...########",
)
# Islands, a wall behind a slope, a loop on a height, enemies in pairs, a high wall behind an enemy.
LEVEL_3 = (
    "..................................................................................................................",
    "..................................................................................................................",
    "..................................................................................................................",
    ".....................................................................o........................oo..................",
    "......................o.............................................o.o.....................|#####\\...............",
    "..........o.....o....o.o.....................ooo.....O.....===....e.....e...................|######\\..............",
    ".........o.o...o.o.........................|##############.....############\\................|#######\\.........G...",
    "...........................e...............|##############.....#############\\...............|###########...#######",
    "..S...............###...#######\\...........|##############.....##############\\..............|###########...#######",
    "#########...###...###...########\\....e.....|##############.....###############\\ooo....e.....|###########...#######",
    "#########...###...###...##################################.....#########################################...#######",
)

MAPS = {"level-1": LEVEL_1, "level-2": LEVEL_2, "level-3": LEVEL_3}
