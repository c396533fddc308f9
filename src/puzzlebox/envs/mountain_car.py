"""MountainCar: a car too weak for the hill must swing back and forth to reach the flag.

Source: Moore (1990), "Efficient memory-based learning for robot control"; Sutton & Barto, "Reinforcement Learning"
(2018), example 10.1; constants and limits follow Gymnasium's MountainCar-v0. Departure: the state is float32.
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

FORCE = 0.001
GRAVITY = 0.0025
MAX_SPEED = 0.07
MIN_POSITION = -1.2
MAX_POSITION = 0.6
GOAL = 0.5

_LOW = np.array([MIN_POSITION, -MAX_SPEED], np.float32)
_HIGH = np.array([MAX_POSITION, MAX_SPEED], np.float32)
OBSERVATION_SPACE = gymnasium.spaces.Box(_LOW, _HIGH, dtype=np.float32)
ACTION_SPACE = gymnasium.spaces.Discrete(3)


class MountainCarState(NamedTuple):
    physics: Array  # float32 [2]: position, velocity per step
    time: Array  # int32 [], steps


class MountainCar(eqx.Module):
    """Observation: the physics, float32 [2]. Actions: 0 pushes left, 1 does not push, 2 pushes right.

    Reward −1 on every step. Terminated at position 0.5; truncated after ``time_limit`` steps.
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

    def reset(self, key: Key) -> tuple[MountainCarState, Array]:
        position = jax.random.uniform(key, (), jnp.float32, -0.6, -0.4)
        physics = jnp.stack([position, jnp.zeros_like(position)])
        return MountainCarState(physics, jnp.int32(0)), physics

    def step(self, state: MountainCarState, action: Array, key: Key) -> tuple[MountainCarState, Timestep]:
        position, velocity = state.physics
        push = FORCE * (jnp.asarray(action, jnp.float32) - 1)
        velocity = jnp.clip(velocity + push - GRAVITY * jnp.cos(3 * position), -MAX_SPEED, MAX_SPEED)
        position = jnp.clip(position + velocity, MIN_POSITION, MAX_POSITION)
        velocity = jnp.where((position <= MIN_POSITION) & (velocity < 0), 0.0, velocity)
        physics = jnp.stack([position, velocity])
        time = state.time + 1
        terminated = (position >= GOAL) & (velocity >= 0)
        timestep = Timestep(physics, jnp.float32(-1), terminated, ~terminated & (time >= self.time_limit))
        return MountainCarState(physics, time), timestep

    def render(self, state: MountainCarState) -> np.ndarray:
        """A picture of the car on its hill, uint8 [400, 600, 3]."""
        position = float(np.asarray(state.physics)[0])
        canvas = Canvas(600, 400, left=MIN_POSITION, bottom=0, right=MAX_POSITION)
        xs = np.linspace(MIN_POSITION, MAX_POSITION, 200)
        canvas.path([(x, _height(x)) for x in xs], 0.006, "black")
        slope = math.atan(1.35 * math.cos(3 * position))
        along, up = (math.cos(slope), math.sin(slope)), (-math.sin(slope), math.cos(slope))

        def on_car(forward: float, above: float) -> tuple[float, float]:
            """The place of a point of the car, given along the slope and at a right angle to it."""
            return (
                position + forward * along[0] + above * up[0],
                _height(position) + forward * along[1] + above * up[1],
            )

        canvas.polygon([on_car(-0.06, 0.03), on_car(0.06, 0.03), on_car(0.06, 0.09), on_car(-0.06, 0.09)], "black")
        for forward in (-0.03, 0.03):
            canvas.circle(on_car(forward, 0.027), 0.024, (128, 128, 128))
        foot = _height(GOAL)
        canvas.line((GOAL, foot), (GOAL, foot + 0.15), 0.005, "black")
        canvas.polygon([(GOAL, foot + 0.15), (GOAL, foot + 0.12), (GOAL + 0.075, foot + 0.135)], (204, 204, 0))
        return canvas.pixels()


def _height(position: float) -> float:
    return 0.55 + 0.45 * math.sin(3 * position)
