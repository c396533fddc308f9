"""Anti-aliased pictures of worlds, drawn in the world's own units with pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = str | tuple[int, int, int]
DETAIL = 4  # drawn this many times larger and scaled down, which smooths the edges


class Canvas:
    """A white picture, ``width`` × ``height`` pixels; x runs from ``left`` to ``right``, y upwards from ``bottom``.

    Places, radii and widths of all shapes are in the world's units; a pixel is as high as it is wide.
    """

    def __init__(self, width: int, height: int, *, left: float, bottom: float, right: float) -> None:
        self.size = width, height
        self.left, self.bottom = left, bottom
        self.scale = DETAIL * width / (right - left)
        self.image = Image.new("RGB", (DETAIL * width, DETAIL * height), "white")
        self.draw = ImageDraw.Draw(self.image)

    def _place(self, point: Point) -> Point:
        return (point[0] - self.left) * self.scale, self.image.height - (point[1] - self.bottom) * self.scale

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        self.draw.polygon([self._place(point) for point in points], fill=colour)

    def circle(self, centre: Point, radius: float, colour: Colour) -> None:
        """A filled circle."""
        x, y = self._place(centre)
        r = radius * self.scale
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def path(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A line through all points, at least a pixel wide before scaling down."""
        places = [self._place(point) for point in points]
        self.draw.line(places, fill=colour, width=max(1, round(width * self.scale)), joint="curve")

    def line(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        """A straight line."""
        self.path([start, end], width, colour)

    def bar(self, joint: Point, heading: float, reach: tuple[float, float], width: float, colour: Colour) -> None:
        """A rectangle that leaves ``joint`` at the angle ``heading`` (rad), from the first to the second ``reach``."""
        along, across = (math.cos(heading), math.sin(heading)), (-math.sin(heading), math.cos(heading))
        start, end = reach
        corners = [(start, -width / 2), (start, width / 2), (end, width / 2), (end, -width / 2)]
        self.polygon(
            [(joint[0] + r * along[0] + w * across[0], joint[1] + r * along[1] + w * across[1]) for r, w in corners],
            colour,
        )

    def pixels(self) -> np.ndarray:
        """The picture, uint8 [height, width, 3]."""
        return np.asarray(self.image.resize(self.size, Image.Resampling.BOX))
