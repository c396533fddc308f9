"""A grid world with its robot: as a picture, and as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from puzzlebox.envs.drawing import Canvas, Colour

LARGEST = 360  # pixels along the longer side, about
COLOURS: dict[str, Colour] = {
    "#": (71, 79, 92),
    ".": (244, 245, 247),
    "S": (227, 236, 248),
    "G": (190, 229, 200),
    "H": (243, 196, 190),
}
GRID, TRAIL, ROBOT, DARK = (255, 255, 255), (122, 170, 214), (0, 114, 178), (40, 44, 52)
INK: dict[str, Colour] = {"G": (0, 120, 80), "H": (178, 60, 30)}


def grid_picture(rows: Sequence[str], cell: int, trail: Sequence[int] = ()) -> np.ndarray:
    """The map with the robot on ``cell`` and the cells it came through, ``trail``; uint8 [height, width, 3].

    Cells are numbered row by row from the top left.
    """
    height, width = len(rows), len(rows[0])
    size = max(8, min(72, LARGEST // max(height, width)))  # pixels along a cell
    canvas = Canvas(width * size, height * size, left=0, bottom=0, right=width)
    for row, line in enumerate(rows):
        for column, character in enumerate(line):
            _cell(canvas, column, height - 1 - row, character)
    places = [_centre(place, height, width) for place in [*trail, cell]]
    for start, end in pairwise(places):
        canvas.line(start, end, 0.09, TRAIL)
        canvas.circle(end, 0.045, TRAIL)
    x, y = places[-1]
    canvas.circle((x, y), 0.33, ROBOT)
    for eye in (-0.12, 0.12):
        canvas.circle((x + eye, y + 0.08), 0.085, "white")
        canvas.circle((x + eye, y + 0.08), 0.04, DARK)
    return canvas.pixels()


def grid_text(rows: Sequence[str], cell: int, trail: Sequence[int] = ()) -> list[list[tuple[str, str]]]:
    """The same for a terminal: (two characters, style) of each cell, row by row; the styles are rich's."""
    width = len(rows[0])
    drawn = {
        "#": ("██", "grey42"),
        ".": (" ·", "grey50"),
        "S": (" S", "blue"),
        "G": (" G", "bold green"),
        "H": (" H", "bold red"),
    }
    lines = [[drawn[character] for character in row] for row in rows]
    for place in trail:
        lines[place // width][place % width] = (" •", "bright_blue")
    lines[cell // width][cell % width] = (" ●", "bold bright_cyan")
    return lines


def _cell(canvas: Canvas, x: int, y: int, character: str) -> None:
    canvas.polygon([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)], GRID)
    gap = 0.02
    low_x, high_x, low_y, high_y = x + gap, x + 1 - gap, y + gap, y + 1 - gap
    canvas.polygon([(low_x, low_y), (high_x, low_y), (high_x, high_y), (low_x, high_y)], COLOURS[character])
    if character == "G":  # a flag
        canvas.line((x + 0.36, y + 0.2), (x + 0.36, y + 0.82), 0.05, INK["G"])
        canvas.polygon([(x + 0.37, y + 0.82), (x + 0.37, y + 0.5), (x + 0.74, y + 0.66)], INK["G"])
    if character == "H":
        canvas.circle((x + 0.5, y + 0.5), 0.32, INK["H"])
        canvas.circle((x + 0.5, y + 0.5), 0.25, DARK)


def _centre(cell: int, height: int, width: int) -> tuple[float, float]:
    return cell % width + 0.5, height - 1 - cell // width + 0.5
