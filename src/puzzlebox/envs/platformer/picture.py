"""The platformer as people see it: a coloured picture of the part of the level around the body.

The hero is a puzzle box on two feet: it leans with its speed and tumbles in the air. All shapes are drawn here.
"""

from __future__ import annotations

import math

import jax
import numpy as np
from PIL import ImageFont

from puzzlebox.envs.drawing import DETAIL, Canvas, Colour
from puzzlebox.envs.platformer.levels import NOWHERE, Level
from puzzlebox.envs.platformer.physics import RADIUS, middle
from puzzlebox.envs.platformer.state import PlatformerState, enemies_at

WIDTH, HEIGHT, TILES = 360, 240, 15.0
BOTTOM = -1.2
SKY_HIGH, SKY_LOW = np.array([112, 186, 232]), np.array([222, 243, 250])
FAR, NEAR = (170, 214, 205), (134, 196, 150)
EARTH, DARK_EARTH, GRASS, BLADE = (186, 124, 72), (166, 104, 56), (74, 168, 72), (112, 204, 92)
WOOD, RAIL, RAIL_EDGE = (150, 102, 58), (236, 170, 60), (176, 112, 36)
GOLD, GOLD_LIGHT = (240, 184, 32), (255, 230, 120)
SHELL, SHELL_DARK, BOX, BOX_LIGHT, BOX_DARK = (
    (178, 62, 84),
    (110, 36, 58),
    (60, 92, 190),
    (108, 146, 235),
    (36, 54, 120),
)
INK: Colour = (24, 26, 40)


def draw(level: Level, state: PlatformerState) -> np.ndarray:
    """The picture of a state whose leaves are NumPy arrays, uint8 [240, 360, 3]."""
    # The camera follows the body; then from the back to the front.
    left = float(np.clip(state.body.x - 0.42 * TILES, 0, max(float(level.width) - TILES, 0)))
    bottom = max(BOTTOM, float(state.body.y) - 5.0)
    canvas = Canvas(WIDTH, HEIGHT, left=left, bottom=bottom, right=left + TILES)
    _sky(canvas, left, bottom)
    columns = range(max(int(left) - 3, 0), min(int(left + TILES) + 4, int(level.width)))
    for c in columns:
        if level.loop[c]:
            _loop(canvas, c + 0.5, float(level.left[c]))
    for c in columns:
        _ground(canvas, level, c)
        if level.ring[c] > NOWHERE and not state.taken[c]:
            _ring(canvas, (c + 0.5, float(level.ring[c])), 0.3)
    _goal(canvas, float(level.goal), _height(level, float(level.goal)), bool(state.body.x >= level.goal))
    _enemies(canvas, level, state)
    _hero(canvas, level, state)
    _counters(canvas, state)
    return canvas.pixels()


def _sky(canvas: Canvas, left: float, bottom: float) -> None:
    top, right = bottom + TILES * HEIGHT / WIDTH, left + TILES
    bands = 12
    for i in range(bands):
        low = bottom + (top - bottom) * i / bands
        shade = SKY_LOW + (SKY_HIGH - SKY_LOW) * i / (bands - 1)
        canvas.polygon(_rectangle(left, low, right, top), (int(shade[0]), int(shade[1]), int(shade[2])))
    for colour, pace, base, swing in ((FAR, 0.75, 5.2, 1.3), (NEAR, 0.5, 3.4, 0.9)):
        xs = np.linspace(left, right, 60)
        place = xs - left * pace  # what is far away moves less
        ridge = base + swing * np.sin(0.55 * place) + 0.5 * swing * np.sin(1.3 * place + 1) + 0.4 * bottom
        outline = list(zip(xs.tolist(), ridge.tolist(), strict=True))
        canvas.polygon([(left, bottom), *outline, (right, bottom)], colour)


def _ground(canvas: Canvas, level: Level, c: int) -> None:
    low, high = float(level.left[c]), float(level.right[c])
    if low > NOWHERE:
        canvas.polygon([(c, BOTTOM), (c, low), (c + 1, high), (c + 1, BOTTOM)], EARTH)
        for row in range(int(BOTTOM) - 1, int(min(low, high))):
            if (row + c) % 2 == 0:
                canvas.polygon(_rectangle(c, max(row, BOTTOM), c + 1, row + 1), DARK_EARTH)
        canvas.line((c, low - 0.12), (c + 1, high - 0.12), 0.26, GRASS)
        canvas.line((c, low - 0.02), (c + 1, high - 0.02), 0.1, BLADE)
    if level.platform[c] > NOWHERE:
        top = float(level.platform[c])
        canvas.polygon(_rectangle(c, top - 0.35, c + 1, top), WOOD)
        canvas.polygon(_rectangle(c, top - 0.12, c + 1, top), BLADE)
        canvas.line((c + 0.98, top - 0.35), (c + 0.98, top - 0.12), 0.05, BOX_DARK)


def _loop(canvas: Canvas, x: float, y: float) -> None:
    angles = np.linspace(0, 2 * math.pi, 49)
    for radius, width, colour in ((RADIUS + 0.12, 0.42, RAIL_EDGE), (RADIUS + 0.06, 0.2, RAIL)):
        canvas.path(
            [(x + radius * math.sin(a), y + RADIUS - radius * math.cos(a)) for a in angles.tolist()], width, colour
        )


def _ring(canvas: Canvas, centre: tuple[float, float], radius: float) -> None:
    angles = np.linspace(0, 2 * math.pi, 17).tolist()
    canvas.path([(centre[0] + radius * math.sin(a), centre[1] + radius * math.cos(a)) for a in angles], 0.16, GOLD)
    canvas.path(
        [(centre[0] + radius * math.sin(a), centre[1] + radius * math.cos(a)) for a in angles[10:15]], 0.07, GOLD_LIGHT
    )


def _goal(canvas: Canvas, x: float, y: float, reached: bool) -> None:
    canvas.line((x, y), (x, y + 3), 0.16, (235, 235, 240))
    height = y + (2.9 if reached else 2.0)
    canvas.polygon([(x, height), (x + 1.5, height - 0.4), (x, height - 0.8)], GOLD if reached else SHELL)
    canvas.circle((x, y + 3.05), 0.16, GOLD)


def _enemies(canvas: Canvas, level: Level, state: PlatformerState) -> None:
    xs, ys, headings = (np.asarray(values) for values in jax.tree.map(np.asarray, enemies_at(level, state.time)))
    for i in np.flatnonzero((level.enemies[:, 2] > NOWHERE) & ~state.beaten):
        x, y, way = float(xs[i]), float(ys[i]), float(headings[i])
        step = 0.12 * math.sin(1.5 * float(state.time))
        for foot in (-0.25, 0.25):
            canvas.circle((x + foot + step * (1 if foot > 0 else -1), y + 0.1), 0.13, SHELL_DARK)
        canvas.circle((x, y + 0.42), 0.42, SHELL)
        canvas.polygon(_rectangle(x - 0.42, y + 0.14, x + 0.42, y + 0.32), SHELL_DARK)
        canvas.circle((x + 0.2 * way, y + 0.52), 0.13, "white")
        canvas.circle((x + 0.25 * way, y + 0.52), 0.06, INK)


def _hero(canvas: Canvas, level: Level, state: PlatformerState) -> None:
    body = state.body
    if int(state.safe) % 4 >= 2:
        return  # after a hit it flickers
    x, y = (float(v) for v in jax.tree.map(np.asarray, middle(body)))
    speed, time = float(body.speed), float(state.time)
    facing = -1.0 if speed < -0.05 or (abs(speed) <= 0.05 and state.heading < 0) else 1.0
    if body.arc > 0:
        angle = float(body.arc) / RADIUS
    elif body.grounded:
        angle = math.atan2(_slope(level, float(body.x), float(body.y)), 1.0) - 0.03 * speed
    else:
        angle = -0.9 * time * facing
    if body.grounded:
        stride = 0.22 * math.sin(1.9 * float(body.x)) if abs(speed) > 0.1 else 0.14
        for way in (-1, 1):
            foot = _turned((x, y), angle, (way * (0.18 if abs(speed) <= 0.1 else 0) + way * stride, -0.42))
            canvas.circle(foot, 0.15, SHELL)
    for size, colour in ((0.46, BOX_DARK), (0.4, BOX)):
        corners = [(-size, -size + 0.06), (size, -size + 0.06), (size, size + 0.06), (-size, size + 0.06)]
        canvas.polygon([_turned((x, y), angle, corner) for corner in corners], colour)
    canvas.polygon([_turned((x, y), angle, p) for p in ((-0.4, 0.2), (0.4, 0.2), (0.4, 0.46), (-0.4, 0.46))], BOX_LIGHT)
    canvas.bar(_turned((x, y), angle, (-0.4, 0.18)), angle, (0.0, 0.8), 0.05, BOX_DARK)  # the lid
    for offset in (-0.02, 0.24):
        canvas.circle(_turned((x, y), angle, (facing * offset, 0.02)), 0.11, "white")
        canvas.circle(_turned((x, y), angle, (facing * (offset + 0.04), 0.02)), 0.055, INK)


def _counters(canvas: Canvas, state: PlatformerState) -> None:
    """Rings and lives, above on the left."""
    font = ImageFont.load_default(15 * DETAIL)
    unit = TILES / WIDTH
    top = canvas.bottom + HEIGHT * unit
    _ring(canvas, (canvas.left + 16 * unit, top - 16 * unit), 0.3)
    for text, x in ((f"{int(state.rings)}", 28), (f"{max(int(state.lives), 0)}", 78)):
        for shift, colour in ((1, "white"), (0, INK)):
            canvas.draw.text(((x + shift) * DETAIL, (7 + shift) * DETAIL), text, fill=colour, font=font)
    centre = canvas.left + 66 * unit, top - 16 * unit
    canvas.polygon(_rectangle(centre[0] - 0.3, centre[1] - 0.3, centre[0] + 0.3, centre[1] + 0.3), BOX_DARK)
    canvas.polygon(_rectangle(centre[0] - 0.24, centre[1] - 0.24, centre[0] + 0.24, centre[1] + 0.24), BOX)


def _height(level: Level, x: float) -> float:
    c = int(x)
    return float(level.left[c] + (level.right[c] - level.left[c]) * (x - c))


def _slope(level: Level, x: float, y: float) -> float:
    """Rise per tile under feet at height ``y``; platforms are level."""
    c = int(x)
    return 0.0 if y > _height(level, x) + 0.3 else float(level.right[c] - level.left[c])


def _turned(centre: tuple[float, float], angle: float, point: tuple[float, float]) -> tuple[float, float]:
    cosine, sine = math.cos(angle), math.sin(angle)
    return centre[0] + point[0] * cosine - point[1] * sine, centre[1] + point[0] * sine + point[1] * cosine


def _rectangle(left: float, bottom: float, right: float, top: float) -> list[tuple[float, float]]:
    return [(left, bottom), (right, bottom), (right, top), (left, top)]
