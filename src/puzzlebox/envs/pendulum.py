"""Pendulum: swing a pendulum up with a motor too weak to lift it at once, and hold it there.

Constants, cost and step order follow Gymnasium's Pendulum-v1. Departures: the state is float32, and the angle is
kept in [−π, π), which changes no observation and no reward.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.drawing import Canvas
from puzzlebox.fields import param
from puzzlebox.types import Array, Key, Timestep

GRAVITY = 10.0
SECONDS = 0.05
MAX_SPIN = 8.0
MAX_TORQUE = 2.0

_HIGH = np.array([1, 1, MAX_SPIN], np.float32)
OBSERVATION_SPACE = gymnasium.spaces.Box(-_HIGH, _HIGH, dtype=np.float32)
ACTION_SPACE = gymnasium.spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,), np.float32)


class PendulumState(NamedTuple):
    physics: Array  # float32 [2]: angle rad (0 is upright), angular velocity rad/s
    time: Array  # int32 [], steps


class Pendulum(eqx.Module):
    """Observation float32 [3]: cosine and sine of the angle, angular velocity. Action float32 [1]: torque in ±2.

    Reward −(θ² + 0.1·θ'² + 0.001·torque²), with θ and θ' from before the move. Never terminated; truncated after
    ``time_limit`` steps.
    """

    time_limit: int = param(200, "steps until an episode is cut off", low=1)
    random_step = False
    frames_per_second = 30

    @property
    def observation_space(self) -> gymnasium.Space:
        return OBSERVATION_SPACE

    @property
    def action_space(self) -> gymnasium.Space:
        return ACTION_SPACE

    def reset(self, key: Key) -> tuple[PendulumState, Array]:
        physics = jax.random.uniform(key, (2,), jnp.float32, -1, 1) * np.array([math.pi, 1], np.float32)
        return PendulumState(physics, jnp.int32(0)), _observe(physics)

    def step(self, state: PendulumState, action: Array, key: Key) -> tuple[PendulumState, Timestep]:
        angle, spin = state.physics
        torque = jnp.clip(action[0], -MAX_TORQUE, MAX_TORQUE)
        cost = angle**2 + 0.1 * spin**2 + 0.001 * torque**2
        spin = jnp.clip(spin + SECONDS * (1.5 * GRAVITY * jnp.sin(angle) + 3.0 * torque), -MAX_SPIN, MAX_SPIN)
        angle = angle + SECONDS * spin
        angle = angle - 2 * jnp.pi * jnp.floor((angle + jnp.pi) / (2 * jnp.pi))
        physics = jnp.stack([angle, spin])
        time = state.time + 1
        timestep = Timestep(_observe(physics), -cost, jnp.zeros((), bool), time >= self.time_limit)
        return PendulumState(physics, time), timestep

    def render(self, state: PendulumState) -> np.ndarray:
        """A picture of the rod, uint8 [500, 500, 3]."""
        heading = float(np.asarray(state.physics)[0]) + math.pi / 2
        canvas = Canvas(500, 500, left=-2.2, bottom=-2.2, right=2.2)
        canvas.bar((0, 0), heading, (0, 1), 0.2, (204, 77, 77))
        canvas.circle((0, 0), 0.1, (204, 77, 77))
        canvas.circle((math.cos(heading), math.sin(heading)), 0.1, (204, 77, 77))
        canvas.circle((0, 0), 0.05, "black")
        return canvas.pixels()


def _observe(physics: Array) -> Array:
    return jnp.stack([jnp.cos(physics[0]), jnp.sin(physics[0]), physics[1]])
