"""What changes while the platformer is played, and where the enemies are at any time."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from puzzlebox.envs.platformer import physics
from puzzlebox.envs.platformer.levels import Level
from puzzlebox.envs.platformer.physics import Body
from puzzlebox.types import Array

ENEMY_SPEED = 2.0  # tiles per second


class PlatformerState(NamedTuple):
    """One game. A decision is a step of the world, a tenth of a second."""

    body: Body
    taken: Array  # bool [LENGTH], the rings that are gone, by column
    beaten: Array  # bool [ENEMIES]
    rings: Array  # float32 []
    lives: Array  # float32 []
    safe: Array  # int32 [], decisions for which the body still cannot be hurt
    leftmost: Array  # float32 [], tiles: where it has been in this episode
    furthest: Array  # float32 [], tiles
    heading: Array  # float32 [], 1 after running to the right, −1 after running to the left, 0 before
    time: Array  # int32 [], decisions
    screen: Array  # uint8 [84, 84, 4], the last four pictures; [0] with view=tiles


def enemies_at(level: Level, time: Array) -> tuple[Array, Array, Array]:
    """Places x and y in tiles and directions of all enemies, float32 [ENEMIES] each, after ``time`` decisions.

    They walk to and fro, starting at the left end of their patrol.
    """
    first, last, height = (jnp.asarray(level.enemies[:, i]) for i in range(3))
    length = jnp.maximum(last - first, 1e-3)
    walked = jnp.mod(ENEMY_SPEED * physics.DT * physics.SUBSTEPS * time, 2 * length)
    there = walked < length
    return first + jnp.where(there, walked, 2 * length - walked), height, jnp.where(there, 1.0, -1.0)
