"""What an agent has lived through, as it learns from it: steps or frames, drawn alike or by priority, n rewards each.

It joins `transitions`, `frames` and `prioritised`, which tell what they do.
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
    """The steps, and the priorities of their places where they have any."""

    steps: Replay
    priorities: Priorities | None


class Experience(eqx.Module):
    """``rows`` steps of each of ``worlds`` worlds, learned from with ``num_rewards`` rewards each.

    ``stack``: how many frames an observation has of which only the newest is kept; 0 keeps observations as they are.
    """

    rows: int
    worlds: int
    num_rewards: int
    stack: int
    prioritised: bool

    @property
    def margins(self) -> tuple[int, int]:
        """How many of the oldest and of the newest rows cannot be drawn."""
        return frames.margins(self.stack, self.num_rewards) if self.stack else (0, 0)

    def empty(self, observation: Array, action: Array) -> Past:
        """Nothing yet, for observations and actions of the worlds like these, ``[B, ...]``."""
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

    def lots(self, past: Past, key: Key, shape: tuple[int, int]) -> Array:
        """What `draw` needs for each of U batches of N, ``[U, ...]``: places, or a key where priorities decide."""
        if self.prioritised:
            return jax.random.split(key, shape[0])
        if self.stack:
            return frames.draw(past.steps, key, shape, self.margins)
        return transitions.draw(past.steps, key, shape)

    def draw(
        self, past: Past, lot: Array, count: int, discount: ArrayLike, importance: ArrayLike
    ) -> tuple[Array, Sample]:
        """Places ``[N]`` and what is there; ``importance`` is β, how far weights make up for priorities."""
        if past.priorities is None:
            return lot, self._read(past.steps, lot, discount)
        place, priority = prioritised.draw(past.priorities, lot, count)
        sample = self._read(past.steps, place, discount)
        return place, sample._replace(weight=sample.weight * prioritised.importance_weights(priority, importance))

    def _read(self, steps: Replay, place: Array, discount: ArrayLike) -> Sample:
        if self.stack:
            return frames.read(steps, place, self.num_rewards, discount, self.stack)
        return transitions.read(steps, place, self.num_rewards, discount)


def learned(
    priorities: Priorities | None, place: Array, sample: Sample, error: Array, exponent: ArrayLike
) -> Priorities | None:
    """The priorities after learning from ``sample`` with these errors ``[N]``; ``exponent`` is α."""
    if priorities is None:
        return None
    value = jnp.where(sample.weight > 0, prioritised.from_errors(error, exponent), 0.0)
    return prioritised.put(priorities, place, value)
