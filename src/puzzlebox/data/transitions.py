"""A replay of steps for n-step learning: rows are steps of ``B`` worlds in the order played, a ring in time.

A place is a number below rows × B: row · B + world. `frames` is its twin for pictures.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.data import replay
from puzzlebox.data.replay import Replay
from puzzlebox.ops.returns import window_returns
from puzzlebox.types import Array, Key, Trajectory


class Transition(NamedTuple):
    """One step, or ``[rows, B, ...]`` of them; ``next_observation`` is the true s_{t+1}.

    ``first``: the observation begins an episode.
    """

    observation: Array
    action: Array
    reward: Array
    terminated: Array
    next_observation: Array
    first: Array


class Sample(NamedTuple):
    """A batch to learn from, ``[N, ...]``: n-step transitions of m steps each, m being n or less.

    ``reward`` is r_0 + γ r_1 + … + γ^{m−1} r_{m−1}, ``next_observation`` is s_m and ``discount`` is γ^m; ``terminated``
    says that the last step ended the task. ``weight`` is that of the loss, 0 where nothing can be learned.
    """

    observation: Array
    action: Array
    reward: Array
    terminated: Array
    next_observation: Array
    discount: Array
    weight: Array


def empty(observation: Array, action: Array, rows: int) -> Replay:
    """An empty replay, for observations and actions of ``B`` worlds like these, ``[B, ...]``."""
    reward, flag = (jnp.zeros(action.shape[0], dtype) for dtype in (jnp.float32, jnp.bool_))
    return replay.empty(Transition(observation, action, reward, flag, observation, flag), rows)


def add(memory: Replay, trajectory: Trajectory, first: Array) -> Replay:
    """Adds ``[T, B, ...]`` steps; T divides the rows. ``first [T, B]`` is True where an episode begins."""
    steps = Transition(
        trajectory.observation,
        trajectory.action,
        trajectory.reward,
        trajectory.terminated,
        trajectory.next_observation,
        first,
    )
    return replay.add(memory, steps)


def draw_places(memory: Replay, key: Key, shape: tuple[int, ...]) -> Array:
    """Places drawn uniformly with replacement, int32 ``shape``."""
    rows, worlds = memory.storage.reward.shape
    return jax.random.randint(key, shape, 0, jnp.minimum(memory.added, rows) * worlds)


def read(memory: Replay, place: Array, num_steps: int, discount: ArrayLike) -> Sample:
    """The steps at ``place [N]``, with ``num_steps`` rewards each, or as many as the episode and the replay have."""
    steps: Transition = memory.storage
    rows, worlds = steps.reward.shape
    row, world = place // worlds, place % worlds
    lag = jnp.arange(num_steps)[:, None]
    window = (row + lag) % rows
    there = lag <= (memory.added - 1 - row) % rows  # not beyond the newest row
    ended = steps.first[(window + 1) % rows, world]
    reward, power, length = window_returns(steps.reward[window, world], ended, there, discount)
    last = (row + length - 1) % rows
    return Sample(
        steps.observation[row, world],
        steps.action[row, world],
        reward,
        steps.terminated[last, world],
        steps.next_observation[last, world],
        power,
        jnp.ones_like(reward),
    )
