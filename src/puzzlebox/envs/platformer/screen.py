"""What ``view=screen`` shows: four grey pictures of 84 × 84, drawn inside the compiled program.

It shows 14 × 14 tiles of 6 pixels, and scrolls with the body. The shade of every pixel is computed from its place in
the level, all pixels at once; only loops and enemies are drawn one after the other.
"""

from __future__ import annotations

import gymnasium
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.platformer.levels import NOWHERE, Level
from puzzlebox.envs.platformer.physics import RADIUS, middle
from puzzlebox.envs.platformer.state import PlatformerState, enemies_at
from puzzlebox.types import Array

PIXELS, TILES, FRAMES = 84, 14, 4
BOTTOM = -1.0  # the height of the lowest row of pixels
AHEAD = 8.0  # tiles seen to the right of the body
SPACE = gymnasium.spaces.Box(0, 255, (PIXELS, PIXELS, FRAMES), np.uint8)
SKY, EARTH, GRASS, WOOD, ENEMY, GOAL, RING, BODY = 190, 95, 60, 120, 30, 235, 255, 0


def draw(level: Level, state: PlatformerState) -> Array:
    """The present picture, uint8 [84, 84]."""
    # Where each pixel lies in the level (x [1, 84], y [84, 1]), and in which column.
    left = jnp.clip(state.body.x - (TILES - AHEAD), 0, jnp.maximum(jnp.asarray(level.width) - TILES, 0))
    pixel = (jnp.arange(PIXELS) + 0.5) * TILES / PIXELS
    x, y = left + pixel[None, :], BOTTOM + pixel[::-1, None]
    column = jnp.floor(x[0]).astype(jnp.int32)
    low, high, platform, ring = (jnp.asarray(t)[column] for t in (level.left, level.right, level.platform, level.ring))
    # From the back to the front: sky and ground, platforms, rings, loops, the goal, enemies, the body.
    ground = low + (high - low) * (x - column)
    picture = jnp.where(y < ground, jnp.where(y > ground - 0.3, GRASS, EARTH), SKY)
    picture = jnp.where((y < platform) & (y > platform - 0.4), WOOD, picture)
    there = (ring > NOWHERE) & ~state.taken[column]
    picture = jnp.where(there & ((x - column - 0.5) ** 2 + (y - ring) ** 2 < 0.3**2), RING, picture)
    for c in np.flatnonzero(level.loop):
        away = jnp.sqrt((x - c - 0.5) ** 2 + (y - level.left[c] - RADIUS) ** 2)
        picture = jnp.where(jnp.abs(away - RADIUS - 0.1) < 0.2, GRASS, picture)
    picture = jnp.where((jnp.abs(x - level.goal) < 0.2) & (y > ground) & (y < ground + 3), GOAL, picture)
    enemy_x, enemy_y, _ = enemies_at(level, state.time)
    for i in np.flatnonzero(level.enemies[:, 2] > NOWHERE):
        seen = ((x - enemy_x[i]) ** 2 + (y - enemy_y[i] - 0.35) ** 2 < 0.4**2) & ~state.beaten[i]
        picture = jnp.where(seen, ENEMY, picture)
    body_x, body_y = middle(state.body)
    picture = jnp.where((x - body_x) ** 2 + (y - body_y) ** 2 < 0.5**2, BODY, picture)
    return picture.astype(jnp.uint8)
