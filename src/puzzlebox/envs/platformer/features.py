"""What ``view=tiles`` shows: the tile columns around the body, and what it feels itself, as one vector.

For each of the 24 columns from 8 behind to 15 ahead: the height of its ground and of its platform above the feet
(in units of 4 tiles, −1 where there is none), whether a ring is left in it, whether a loop stands there. Then come the
body itself, the nearest enemy on either side, and how far the part of the level reaches that was visited.
"""

from __future__ import annotations

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.platformer import physics
from puzzlebox.envs.platformer.levels import MARGIN, NOWHERE, Level
from puzzlebox.envs.platformer.state import PlatformerState, enemies_at
from puzzlebox.types import Array

BEHIND, WINDOW = 8, 24
FEELINGS = 24
NUMBERS = 4 * WINDOW + FEELINGS
SPACE = gymnasium.spaces.Box(-1.0, 1.0, (NUMBERS,), np.float32)


def observe(level: Level, state: PlatformerState, lives: int, time_limit: int) -> Array:
    """The vector, float32 [NUMBERS] in −1 … 1; ``lives`` and ``time_limit`` are those of the world, as scales."""
    body = state.body
    first = jnp.floor(body.x).astype(jnp.int32) - BEHIND + MARGIN
    ground, platform, loop = jax.lax.dynamic_slice(_columns(level), (first, 0), (WINDOW, 3)).T
    left = jnp.pad(jnp.asarray(level.ring > NOWHERE) & ~state.taken, MARGIN)
    ring = jax.lax.dynamic_slice(left, (first,), (WINDOW,)).astype(jnp.float32)
    heights = [jnp.where(height > NOWHERE, _limit((height - body.y) / 4), -1.0) for height in (ground, platform)]
    return jnp.concatenate([*heights, ring, loop, _feelings(level, state, lives, time_limit)])


def _columns(level: Level) -> Array:
    """Ground in the middle of each column, platform, loop; float32 [LENGTH + 2 · MARGIN, 3]."""
    middle = np.maximum((level.left + level.right) / 2, NOWHERE)
    table = np.stack([middle, level.platform, level.loop], axis=-1)
    empty = np.tile(np.array([NOWHERE, NOWHERE, 0], np.float32), (MARGIN, 1))
    return jnp.asarray(np.concatenate([empty, table, empty]), jnp.float32)


def _limit(x: Array) -> Array:
    return jnp.clip(x, -1.0, 1.0)


def _feelings(level: Level, state: PlatformerState, lives: int, time_limit: int) -> Array:
    """What the body feels itself: float32 [FEELINGS] in −1 … 1."""
    body = state.body
    # The nearest enemy to the right and to the left, within 12 tiles: near, very near, its height, its direction.
    enemy_x, enemy_y, heading = enemies_at(level, state.time)
    away = jnp.where(state.beaten | (enemy_y <= NOWHERE), 99.0, enemy_x - body.x)
    nearest = []
    for distance in (jnp.where(away >= 0, away, 99.0), jnp.where(away < 0, -away, 99.0)):
        which = jnp.argmin(distance)
        near = distance[which]
        there = near < 12
        nearest += [
            jnp.where(there, 1 - near / 12, 0.0),
            jnp.where(there, _limit(1 - near / 3), 0.0),
            jnp.where(there, _limit((enemy_y[which] - body.y) / 4), 0.0),
            jnp.where(there, heading[which], 0.0),
        ]
    # The body: how it moves, where it stands, what it has, how much is left, and where it has been.
    in_loop = body.arc > 0
    parts = [
        body.speed / physics.LIMIT,
        _limit(body.speed / 4),
        _limit(body.rising / physics.JUMP),
        body.grounded,
        2 * (body.x - jnp.floor(body.x)) - 1,
        in_loop,
        jnp.where(in_loop, jnp.sin(body.arc / physics.RADIUS), 0.0),
        jnp.where(in_loop, jnp.cos(body.arc / physics.RADIUS), 0.0),
        _limit(body.y / 8),
        jnp.minimum(state.rings, 10) / 10,
        state.rings > 0,
        state.safe > 0,
        state.lives / lives,
        state.time / time_limit,
        _limit((body.x - state.leftmost) / 16),
        _limit((state.furthest - body.x) / 16),
    ]
    return jnp.stack([jnp.asarray(part, jnp.float32) for part in (*parts, *nearest)])
