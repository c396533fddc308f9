"""The replay that DQN learns from: whole steps or single frames, drawn uniformly or by priority, n rewards each.

It puts `transitions`, `frames` and `prioritised` behind one set of methods; they say how each works.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.data import frames, prioritised, transitions
from puzzlebox.data.prioritised import Priorities
from puzzlebox.data.replay import Replay
from puzzlebox.data.transitions import Sample
from puzzlebox.types import Array, Key, Trajectory


class Past(NamedTuple):
    """What is stored: the steps, and the priorities of their places if the replay is prioritised."""

    steps: Replay
    priorities: Priorities | None


class Experience(eqx.Module):
    """What a replay is like: ``rows`` steps of each of ``worlds`` worlds, drawn with ``num_rewards`` rewards each.

    ``stack``: observations are stacks of so many frames, of which only the newest is stored; 0 stores them as they are.
    What it holds is a `Past`, which every method takes or returns.
    """

    rows: int
    worlds: int
    num_rewards: int
    stack: int
    prioritised: bool

    @property
    def margins(self) -> tuple[int, int]:
        """How many of the oldest and of the newest rows cannot be drawn, because their stack or returns are cut."""
        return frames.margins(self.stack, self.num_rewards) if self.stack else (0, 0)

    def empty(self, observation: Array, action: Array) -> Past:
        """A replay without content, for observations and actions of ``B`` worlds like these, ``[B, ...]``."""
        if self.stack:
            steps = frames.empty(observation, action, self.rows, self.stack)
        else:
            steps = transitions.empty(observation, action, self.rows)
        return Past(steps, prioritised.empty(self.rows * self.worlds) if self.prioritised else None)

    def add(self, past: Past, trajectory: Trajectory, first: Array) -> Past:
        """Adds steps ``[T, B, ...]``, where ``first [T, B]`` begins an episode; T divides the rows."""
        if self.stack:
            steps = frames.add(past.steps, trajectory, first, self.stack)
        else:
            steps = transitions.add(past.steps, trajectory, first)
        if past.priorities is None:
            return Past(steps, None)
        shape, count = (self.rows, self.worlds), first.shape[0]
        return Past(steps, prioritised.after_adding(past.priorities, steps.added, shape, count, self.margins))

    def prepare_draws(self, past: Past, key: Key, shape: tuple[int, int]) -> Array:
        """What `draw` needs for each of U batches of N: ``shape`` (U, N) -> ``[U, ...]``.

        Uniform places ``[U, N]`` are all drawn here, at once. Priorities change from batch to batch, so that there each
        batch gets a key instead.
        """
        if self.prioritised:
            return jax.random.split(key, shape[0])
        if self.stack:
            return frames.draw_places(past.steps, key, shape, self.margins)
        return transitions.draw_places(past.steps, key, shape)

    def draw(
        self, past: Past, prepared: Array, count: int, discount: ArrayLike, importance: ArrayLike
    ) -> tuple[Array, Sample]:
        """A batch: places ``[N]`` and what is there, ``count`` being N and ``prepared`` one row of `prepare_draws`.

        ``importance`` is β, how far the sample's weights make up for priorities.
        """
        if past.priorities is None:
            return prepared, self._read(past.steps, prepared, discount)
        place, priority = prioritised.draw_places(past.priorities, prepared, count)
        sample = self._read(past.steps, place, discount)
        return place, sample._replace(weight=sample.weight * prioritised.importance_weights(priority, importance))

    def _read(self, steps: Replay, place: Array, discount: ArrayLike) -> Sample:
        if self.stack:
            return frames.read(steps, place, self.num_rewards, discount, self.stack)
        return transitions.read(steps, place, self.num_rewards, discount)


def reprioritise(
    priorities: Priorities | None, place: Array, sample: Sample, error: Array, exponent: ArrayLike
) -> Priorities | None:
    """The priorities after learning from ``sample`` at ``place [N]`` with ``error [N]``; ``exponent`` is α.

    None, a uniform replay, stays None.
    """
    if priorities is None:
        return None
    value = jnp.where(sample.weight > 0, prioritised.from_errors(error, exponent), 0.0)
    return prioritised.put(priorities, place, value)
