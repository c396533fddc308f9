"""CartPole: keep a pole upright on a cart by pushing the cart left or right.

Source: Barto, Sutton & Anderson (1983), "Neuronlike adaptive elements that can solve difficult learning control
problems"; constants and step order follow Gymnasium's CartPole-v1. Departure: the state is float32, so a step
agrees with Gymnasium's float64 one to about 1e-6.
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

GRAVITY = 9.8
CART_MASS = 1.0
POLE_MASS = 0.1
TOTAL_MASS = CART_MASS + POLE_MASS
HALF_LENGTH = 0.5  # of the pole
FORCE = 10.0
SECONDS = 0.02  # per step; lengths are in m, masses in kg, forces in N, angles in rad
MAX_POSITION = 2.4
MAX_ANGLE = 12 * 2 * math.pi / 360

_HIGH = np.array([2 * MAX_POSITION, np.inf, 2 * MAX_ANGLE, np.inf], np.float32)
OBSERVATION_SPACE = gymnasium.spaces.Box(-_HIGH, _HIGH, dtype=np.float32)
ACTION_SPACE = gymnasium.spaces.Discrete(2)


class CartPoleState(NamedTuple):
    physics: Array  # float32 [4]: position m, velocity m/s, angle rad (0 is upright), angular velocity rad/s
    time: Array  # int32 [], steps


class CartPole(eqx.Module):
    """Observation: the physics, float32 [4]. Actions: 0 pushes left, 1 pushes right. Reward: 1 on every step.

    Terminated when the cart leaves ±2.4 m or the pole ±12 degrees; truncated after ``time_limit`` steps.
    """

    time_limit: int = param(500, "steps until an episode is cut off", low=1)
    random_step = False
    frames_per_second = 30

    @property
    def observation_space(self) -> gymnasium.Space:
        return OBSERVATION_SPACE

    @property
    def action_space(self) -> gymnasium.Space:
        return ACTION_SPACE

    def reset(self, key: Key) -> tuple[CartPoleState, Array]:
        physics = jax.random.uniform(key, (4,), jnp.float32, -0.05, 0.05)
        return CartPoleState(physics, jnp.int32(0)), physics

    def step(self, state: CartPoleState, action: Array, key: Key) -> tuple[CartPoleState, Timestep]:
        # The equations of motion give both accelerations; Euler's rule moves positions by the old velocities.
        position, velocity, angle, spin = state.physics
        force = jnp.where(action == 1, FORCE, -FORCE)
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        push = (force + POLE_MASS * HALF_LENGTH * spin**2 * sine) / TOTAL_MASS
        spin_rate = (GRAVITY * sine - cosine * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * cosine**2 / TOTAL_MASS))
        acceleration = push - POLE_MASS * HALF_LENGTH * spin_rate * cosine / TOTAL_MASS
        position, angle = position + SECONDS * velocity, angle + SECONDS * spin
        velocity, spin = velocity + SECONDS * acceleration, spin + SECONDS * spin_rate
        physics = jnp.stack([position, velocity, angle, spin])
        time = state.time + 1
        terminated = (jnp.abs(position) > MAX_POSITION) | (jnp.abs(angle) > MAX_ANGLE)
        timestep = Timestep(physics, jnp.float32(1), terminated, ~terminated & (time >= self.time_limit))
        return CartPoleState(physics, time), timestep

    def render(self, state: CartPoleState) -> np.ndarray:
        """A picture of cart and pole, uint8 [400, 600, 3]."""
        position, _, angle, _ = (float(value) for value in np.asarray(state.physics))
        canvas = Canvas(600, 400, left=-MAX_POSITION, bottom=-0.8, right=MAX_POSITION)
        canvas.line((-MAX_POSITION, 0), (MAX_POSITION, 0), 0.01, "black")
        canvas.bar((position - 0.2, 0), 0, (0, 0.4), 0.24, "black")
        canvas.bar((position, 0.06), math.pi / 2 - angle, (-0.04, 2 * HALF_LENGTH - 0.04), 0.08, (202, 152, 101))
        canvas.circle((position, 0.06), 0.04, (129, 132, 203))
        return canvas.pixels()
