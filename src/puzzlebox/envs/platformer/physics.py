"""How a body runs, jumps and falls through a level; units are tiles and seconds.

On the ground a body has one speed, along the ground; gravity pulls it down slopes. A steep wall gives no hold: only
speed carries a body up (½v² = SLOPE_GRAVITY · height), and one that is too slow slides back. A loop is the same on a
circle. In the air, gravity is stronger and a wall stops the body.

One speed along the ground with a weaker gravity on slopes is an idea of the 16-bit era; numbers and code are our own.
The height of the ground is a function of x, so that a step is a few table lookups.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp

from puzzlebox.envs.platformer.levels import MARGIN, NOWHERE, Level
from puzzlebox.types import Array

SUBSTEPS = 4  # per decision
DT = 1 / 40  # seconds per substep
# Speeds are in tiles/s, accelerations in tiles/s², lengths in tiles.
ACCELERATION = 6.0
BRAKE = 14.0  # pushing against the motion
FRICTION = 7.0  # not pushing
TOP_SPEED = 10.0  # that pushing can reach
LIMIT = 14.0  # that a slope can give
SLOPE_GRAVITY = 6.5
SLIDING = 0.25  # share of it that acts down a steep wall: friction takes the rest, so that sliding is no run-up
GRAVITY = 30.0  # in the air
JUMP = 12.5  # upward speed of a jump
BOUNCE = 9.0  # upward speed off a beaten enemy
STEEP = 1.5  # rise per tile above which there is no hold
STEP = 0.35  # a higher step stops a body, a deeper one makes it fly
EDGE = 0.35  # half a body's width
RADIUS = 1.5  # of a loop
ROUND = 2 * math.pi * RADIUS


class Body(NamedTuple):
    """Where the feet of a body are, and how it moves, in tiles and tiles/s; float32 [], but ``grounded``, bool []."""

    x: Array
    y: Array
    speed: Array  # along the ground, or horizontally in the air
    rising: Array  # vertical speed in the air
    arc: Array  # tiles it has come round a loop, 0 outside
    grounded: Array


class Columns(NamedTuple):
    """A level's ground, ready for lookups: float32 [LENGTH + 2 · MARGIN, 6], and its width."""

    table: Array  # left, right, platform, loop, cosine and sine of the slope
    width: Array


def columns(level: Level) -> Columns:
    """The tables of a level with an empty margin of `MARGIN` columns on either side."""
    left, right = jnp.asarray(level.left), jnp.asarray(level.right)
    cosine = 1 / jnp.sqrt(1 + (right - left) ** 2)
    table = jnp.stack([left, right, level.platform, level.loop, cosine, (right - left) * cosine], axis=-1)
    empty = jnp.array([NOWHERE, NOWHERE, NOWHERE, 0, 1, 0], jnp.float32)
    margin = jnp.tile(empty, (MARGIN, 1))
    return Columns(jnp.concatenate([margin, table, margin]), jnp.asarray(level.width))


def substep(ground: Columns, body: Body, push: Array, jump: Array) -> Body:
    """The body `DT` seconds later; ``push`` is −1, 0 or 1, ``jump`` whether the body jumps as soon as it stands."""
    # Speeds: a push, the pull of slopes, a jump.
    here = _column(ground, body.x)
    on_ground = body.grounded & (body.arc == 0)
    steep = jnp.abs(here.right - here.left) > STEEP
    leaps = on_ground & jump & ~steep
    speed = _speed(body, here, push, steep)
    speed = jnp.where(leaps, speed * here.cosine, speed)
    rising = jnp.where(leaps, JUMP, body.rising - GRAVITY * DT)
    grounded = body.grounded & ~leaps
    # Move in all three ways, and keep the one that applies: under `vmap` a branch would compute all of them, too.
    flying = Body(*_fly(ground, body, here, speed, rising))
    walking = Body(*_walk(ground, body, here, speed))
    looping = Body(*_loop(body, speed))
    moved = [
        jnp.where(body.arc > 0, in_loop, jnp.where(grounded, walked, flew))
        for in_loop, walked, flew in zip(looping, walking, flying, strict=True)
    ]
    return Body(*moved)


class _Column(NamedTuple):
    """One column of `Columns`; its left edge is at x = ``number``."""

    number: Array
    left: Array
    right: Array
    platform: Array
    loop: Array
    cosine: Array
    sine: Array


def _column(ground: Columns, x: Array) -> _Column:
    """The column in which x lies."""
    number = jnp.floor(x)
    row = ground.table[number.astype(jnp.int32) + MARGIN]
    return _Column(number, *(row[..., i] for i in range(6)))


def _speed(body: Body, here: _Column, push: Array, steep: Array) -> Array:
    """Along the ground, round a loop, or horizontally in the air, after pushing and the pull of slopes."""
    # Pushing speeds up to TOP_SPEED, or brakes; without a push friction slows. Walls and loops give no hold for either.
    in_loop = body.arc > 0
    no_hold = in_loop | (body.grounded & steep)
    against = push * body.speed < 0
    gain = jnp.where(against & body.grounded, BRAKE, ACCELERATION) * DT
    pushed = jnp.where(push * body.speed < TOP_SPEED, jnp.clip(body.speed + push * gain, -LIMIT, LIMIT), body.speed)
    slowed = jnp.sign(body.speed) * jnp.maximum(jnp.abs(body.speed) - FRICTION * DT, 0)
    free = jnp.where(push == 0, jnp.where(body.grounded, slowed, body.speed), pushed)
    speed = jnp.where(no_hold, body.speed, free)
    # Gravity along the slope, less of it while sliding back down a wall.
    on_platform = body.y > _height(here, body.x) + STEP
    slope = jnp.where(in_loop, jnp.sin(body.arc / RADIUS), jnp.where(on_platform, 0.0, here.sine))
    holds = (push == 0) & (speed == 0) & ~no_hold
    slides_back = steep & ~in_loop & (speed * slope < 0)
    gravity = SLOPE_GRAVITY * jnp.where(slides_back, SLIDING, 1.0)
    pull = jnp.where(body.grounded & ~holds, gravity * DT * slope, 0)
    return jnp.clip(speed - pull, -LIMIT, LIMIT)


def _height(column: _Column, x: Array) -> Array:
    """The height of the ground at x."""
    return column.left + (column.right - column.left) * (x - column.number)


def _floor(column: _Column, x: Array, y: Array) -> Array:
    """What feet at height ``y`` can stand on: the ground, or a platform that is not above them."""
    ground = _height(column, x)
    return jnp.where(y >= column.platform - 0.05, jnp.maximum(column.platform, ground), ground)


def _walk(ground: Columns, body: Body, here: _Column, speed: Array) -> tuple[Array, ...]:
    """Along the ground, at most into the next column, which may be steeper, a loop, a step or a pit.

    Returns the fields of a `Body`, as do `_fly` and `_loop`.
    """
    # The new x: the way along the slope, beyond the border along the slope of the next column.
    way = speed * DT
    border = here.number + (speed > 0)
    ahead = _column(ground, jnp.where(speed > 0, here.number + 1, here.number - 1) + 0.5)
    to_border = jnp.abs(border - body.x)
    on_platform = body.y > _height(here, body.x) + STEP
    cosine = jnp.where(on_platform, 1.0, here.cosine)
    part = jnp.abs(way) * cosine
    crosses = part > to_border
    beyond = (jnp.abs(way) - to_border / cosine) * jnp.where(on_platform, 1.0, ahead.cosine)
    x = jnp.where(crosses, border + jnp.sign(speed) * jnp.maximum(beyond, 1e-4), body.x + way * cosine)
    # What is there: the foot of a loop, a step too high, the edge of the level, or nothing under the feet.
    column = _Column(*(jnp.where(crosses, a, b) for a, b in zip(ahead, here, strict=True)))
    floor = _floor(column, x, body.y)
    enters = (here.loop > 0) & ((body.x - here.number < 0.5) != (x - here.number < 0.5))
    stopped = (floor > body.y + jnp.maximum(STEP, 1.5 * jnp.abs(way))) | (x < EDGE) | (x > ground.width - EDGE)
    falls = floor < body.y - jnp.maximum(STEP, 1.5 * jnp.abs(way))
    arc = jnp.where(enters, jnp.where(speed > 0, 1e-3, ROUND - 1e-3), 0.0)
    return (
        jnp.where(stopped, body.x, jnp.where(enters, here.number + 0.5, x)),
        jnp.where(stopped | falls, body.y, floor),
        jnp.where(stopped, 0.0, jnp.where(falls, speed * cosine, speed)),
        jnp.zeros_like(speed),
        jnp.where(stopped, 0.0, arc),
        stopped | ~falls,
    )


def _fly(ground: Columns, body: Body, here: _Column, speed: Array, rising: Array) -> tuple[Array, ...]:
    """Through the air: what is higher than the feet stops the body, and it lands on what is below them."""
    # Sideways: walls, the closed foot of a loop, and the edges of the level stop.
    x, y = body.x + speed * DT, body.y + rising * DT
    column = _column(ground, x)
    floor = _floor(column, x, body.y)
    gate = (here.loop > 0) & ((body.x - here.number < 0.5) != (x - here.number < 0.5))
    gate &= y < here.left + 2 * RADIUS
    stopped = (floor > body.y + STEP) | gate | (x < EDGE) | (x > ground.width - EDGE)
    x = jnp.where(stopped, body.x, x)
    speed = jnp.where(stopped, 0.0, speed)
    # Downwards: on a steep wall, both speeds become one along it.
    below = _Column(*(jnp.where(stopped, a, b) for a, b in zip(here, column, strict=True)))
    floor = _floor(below, x, body.y)
    lands = (y <= floor) & (rising <= 0)
    on_slope = (jnp.abs(below.right - below.left) > STEEP) & (floor == _height(below, x))
    landed = jnp.where(on_slope, speed * below.cosine + rising * below.sine, speed)
    return (
        x,
        jnp.where(lands, floor, y),
        jnp.where(lands, landed, speed),
        jnp.where(lands, 0.0, rising),
        jnp.zeros_like(speed),
        lands,
    )


def _loop(body: Body, speed: Array) -> tuple[Array, ...]:
    """Round the circle, and out at either end of it."""
    arc = body.arc + speed * DT
    leaves = (arc <= 0) | (arc >= ROUND)
    x = jnp.where(leaves, body.x + jnp.where(arc <= 0, -1e-3, 1e-3), body.x)
    return x, body.y, speed, jnp.zeros_like(speed), jnp.where(leaves, 0.0, arc), jnp.ones_like(leaves)


def middle(body: Body) -> tuple[Array, Array]:
    """The middle of the body, x and y in tiles: half a tile above its feet, and inside the circle of a loop."""
    angle = body.arc / RADIUS
    inside = RADIUS - jnp.where(body.arc > 0, 0.5, 0.0)
    x = body.x + inside * jnp.sin(angle)
    y = body.y + jnp.where(body.arc > 0, RADIUS - inside * jnp.cos(angle), 0.5)
    return x, y
