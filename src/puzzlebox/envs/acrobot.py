"""Acrobot: swing the tip of a two-link arm above the bar with a motor at the elbow only.

Source: Sutton (1996), "Generalization in reinforcement learning: successful examples using sparse coarse coding";
Sutton & Barto, "Reinforcement Learning" (2018), example 11.3; equations of motion, integration and limits follow
Gymnasium's Acrobot-v1 (its "book" variant). Departure: the state is float32.
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
SECONDS = 0.2
MAX_SPIN = np.array([4 * math.pi, 9 * math.pi], np.float32)

_HIGH = np.array([1, 1, 1, 1, *MAX_SPIN], np.float32)
OBSERVATION_SPACE = gymnasium.spaces.Box(-_HIGH, _HIGH, dtype=np.float32)
ACTION_SPACE = gymnasium.spaces.Discrete(3)


class AcrobotState(NamedTuple):
    """Angles in rad, velocities in rad/s; a shoulder angle of 0 hangs down."""

    physics: Array  # float32 [4]: angle of the shoulder, of the elbow relative to the upper link, their velocities
    time: Array  # int32 [], steps


def derivative(physics: Array, torque: Array) -> Array:
    """d(physics)/dt, float32 [4], of two links of mass 1, length 1, centre of mass 0.5 and inertia 1.

    ``torque`` [] acts at the elbow. With D the mass matrix, C the centrifugal and Coriolis terms, G gravity:
    D(θ)·θ'' = (0, torque) − C(θ, θ') − G(θ).
    """
    shoulder, elbow, shoulder_spin, elbow_spin = physics
    cosine, sine = jnp.cos(elbow), jnp.sin(elbow)
    d1 = 3.5 + cosine
    d2 = 1.25 + 0.5 * cosine
    phi2 = 0.5 * GRAVITY * jnp.sin(shoulder + elbow)
    phi1 = -0.5 * sine * elbow_spin * (elbow_spin + 2 * shoulder_spin) + 1.5 * GRAVITY * jnp.sin(shoulder) + phi2
    elbow_rate = (torque + d2 / d1 * phi1 - 0.5 * shoulder_spin**2 * sine - phi2) / (1.25 - d2**2 / d1)
    shoulder_rate = -(d2 * elbow_rate + phi1) / d1
    return jnp.stack([shoulder_spin, elbow_spin, shoulder_rate, elbow_rate])


def runge_kutta(physics: Array, torque: Array, seconds: float) -> Array:
    """The physics [4] after one classical fourth-order Runge-Kutta step of ``seconds``, the torque held."""
    k1 = derivative(physics, torque)
    k2 = derivative(physics + seconds / 2 * k1, torque)
    k3 = derivative(physics + seconds / 2 * k2, torque)
    k4 = derivative(physics + seconds * k3, torque)
    return physics + seconds / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


class Acrobot(eqx.Module):
    """Observation float32 [6]: cosine and sine of both angles, both velocities. Actions: torque −1, 0, +1.

    Reward −1 per step, 0 on the step that ends it. Terminated when the tip is more than one link above the bar;
    truncated after ``time_limit`` steps.
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

    def reset(self, key: Key) -> tuple[AcrobotState, Array]:
        physics = jax.random.uniform(key, (4,), jnp.float32, -0.1, 0.1)
        return AcrobotState(physics, jnp.int32(0)), _observe(physics)

    def step(self, state: AcrobotState, action: Array, key: Key) -> tuple[AcrobotState, Timestep]:
        torque = jnp.asarray(action, jnp.float32) - 1
        physics = runge_kutta(state.physics, torque, SECONDS)
        angles = physics[:2] - 2 * jnp.pi * jnp.floor((physics[:2] + jnp.pi) / (2 * jnp.pi))
        physics = jnp.concatenate([angles, jnp.clip(physics[2:], -MAX_SPIN, MAX_SPIN)])
        time = state.time + 1
        terminated = -jnp.cos(angles[0]) - jnp.cos(angles[0] + angles[1]) > 1
        truncated = ~terminated & (time >= self.time_limit)
        timestep = Timestep(_observe(physics), terminated.astype(jnp.float32) - 1, terminated, truncated)
        return AcrobotState(physics, time), timestep

    def render(self, state: AcrobotState) -> np.ndarray:
        """A picture of the arm, uint8 [500, 500, 3]."""
        shoulder, elbow = (float(angle) for angle in np.asarray(state.physics)[:2])
        canvas = Canvas(500, 500, left=-2.2, bottom=-2.2, right=2.2)
        canvas.line((-2.2, 1), (2.2, 1), 0.01, "black")
        joint, heading = (0.0, 0.0), shoulder - math.pi / 2
        for turn in (elbow, 0.0):
            canvas.bar(joint, heading, (0, 1), 0.2, (0, 204, 204))
            canvas.circle(joint, 0.1, (204, 204, 0))
            joint = (joint[0] + math.cos(heading), joint[1] + math.sin(heading))
            heading += turn
        return canvas.pixels()


def _observe(physics: Array) -> Array:
    cosine, sine = jnp.cos(physics[:2]), jnp.sin(physics[:2])
    return jnp.stack([cosine[0], sine[0], cosine[1], sine[1], physics[2], physics[3]])
