"""Worlds for tabular learners: states are whole numbers, and the random numbers of many steps are drawn at once.

A world that knows its MDP is stepped straight from its table: one lookup for all ``B`` of them, with no keys inside the
loop. That is several times as fast on a CPU as stepping the world itself, and draws from the same distributions. Any
other world, host simulators included, goes through `vectorize`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from puzzlebox.acting.rollout import Worlds, nan_mean, start
from puzzlebox.algorithms.tabular.exact import check_rewards
from puzzlebox.envs.table import Table
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import UsageError
from puzzlebox.types import Array, Key, Metrics, Tabular, Timestep, VectorEnvironment, World


class Ended(NamedTuple):
    """Return and length of the episodes that a step ended, NaN where none did; leaves ``[B]``."""

    episode_return: Array
    episode_length: Array

    def metrics(self) -> Metrics:
        """The means over the episodes that ended, NaN if none did."""
        return {name: nan_mean(values) for name, values in self._asdict().items()}


class VectorWorlds(eqx.Module):
    """``B`` worlds behind `vectorize`."""

    env: VectorEnvironment

    def start(self, key: Key) -> Worlds:
        """All worlds at the beginning of an episode."""
        return start(self.env, key)

    def draw(self, key: Key, num_steps: int) -> Any:
        """The randomness of ``num_steps`` steps, leaves ``[T, ...]``."""
        return jax.random.split(key, num_steps)

    def step(self, worlds: Worlds, action: Array, drawn: Any) -> tuple[Worlds, Timestep, Ended]:
        """One step of every world; those that end start again. ``timestep.observation`` is the true s_{t+1}."""
        state, timestep, observation = self.env.step(worlds.state, action, drawn)
        return _count(worlds, state, timestep, observation)


class TableWorlds(eqx.Module):
    """``B`` worlds stepped from their table; their state is the time within the episode, int32 ``[B]``."""

    table: Table = eqx.field(static=True)
    time_limit: int = eqx.field(static=True)
    num_envs: int = eqx.field(static=True)

    def start(self, key: Key) -> Worlds:
        """As `VectorWorlds.start`."""
        first = self._first(jax.random.uniform(key, (self.num_envs,)))
        return Worlds(jnp.zeros_like(first), first, jnp.zeros(self.num_envs), jnp.zeros_like(first))

    def draw(self, key: Key, num_steps: int) -> tuple[Array, Array]:
        """The randomness of ``num_steps`` steps: first states of next episodes, and uniform numbers; both ``[T, B]``.

        A uniform number picks the outcome of a step. Where no step is random there are none of them, ``[T, 0]``.
        """
        start_key, outcome_key = jax.random.split(key)
        shape = (num_steps, self.num_envs)
        first = self._first(jax.random.uniform(start_key, shape))
        random_step = self.table.mdp.next_state.shape[-1] > 1
        return first, jax.random.uniform(outcome_key, shape if random_step else (num_steps, 0))

    def step(self, worlds: Worlds, action: Array, drawn: tuple[Array, Array]) -> tuple[Worlds, Timestep, Ended]:
        """As `VectorWorlds.step`."""
        # which outcome of the action: an index into the flattened tables
        first, chance = drawn
        mdp = self.table.mdp
        _, num_actions, num_outcomes = mdp.next_state.shape
        outcome = worlds.observation * num_actions + action
        if num_outcomes > 1:
            thresholds = jnp.asarray(self.table.thresholds.reshape(-1, num_outcomes - 1))[outcome]
            outcome = outcome * num_outcomes + jnp.sum(chance[:, None] >= thresholds, axis=-1)

        # what it leads to
        following = jnp.asarray(mdp.next_state.reshape(-1), jnp.int32)[outcome]
        reward = jnp.asarray(mdp.reward.reshape(-1), jnp.float32)[outcome]
        terminated = jnp.asarray(mdp.terminated.reshape(-1))[outcome]
        time = worlds.state + 1
        truncated = ~terminated & (time >= self.time_limit) & (self.time_limit > 0)
        done = terminated | truncated
        timestep = Timestep(following, reward, terminated, truncated)
        return _count(worlds, jnp.where(done, 0, time), timestep, jnp.where(done, first, following))

    def _first(self, chance: Array) -> Array:
        """First states drawn by uniform numbers ``chance`` of any shape, int32 of that shape."""
        probability = np.asarray(self.table.mdp.start, np.float64)
        states = np.flatnonzero(probability > 0)
        if len(states) == 1:
            return jnp.full(chance.shape, states[0], jnp.int32)
        if np.ptp(probability[states]) < 1e-12:
            drawn = jnp.minimum((chance * len(states)).astype(jnp.int32), len(states) - 1)
        else:
            cumulative = np.cumsum(probability[states])[:-1].astype(np.float32)
            drawn = jnp.searchsorted(jnp.asarray(cumulative), chance, side="right")
        return jnp.asarray(states, jnp.int32)[drawn]


def make_worlds(env: World, num_envs: int) -> VectorWorlds | TableWorlds:
    """``num_envs`` worlds like ``env``, from its table if it has one."""
    if isinstance(env, Tabular):
        check_rewards(env.mdp())
        return TableWorlds(Table(env.mdp()), env.time_limit, num_envs)
    return VectorWorlds(vectorize(env, num_envs))


def num_states(algorithm: str, space: spaces.Space) -> int:
    """The number of rows of a table; raises UsageError for observations that are not whole numbers."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(np.prod(space.nvec))
    raise UsageError(
        f"{algorithm} keeps a table and needs Discrete observations, but this world's are {space}; try ppo"
    )


def state_index(space: spaces.Space, observation: Array) -> Array:
    """Observations ``[..., *shape]`` as rows of a table, int32 ``[...]``."""
    if isinstance(space, spaces.MultiDiscrete):
        sizes = np.asarray(space.nvec).reshape(-1)
        weights = np.cumprod(np.append(1, sizes[:0:-1]))[::-1].astype(np.int32)
        parts = (observation - space.start).reshape(*observation.shape[: observation.ndim - space.nvec.ndim], -1)
        return jnp.sum(parts * weights, axis=-1).astype(jnp.int32)
    return (observation - int(space.start)).astype(jnp.int32)  # type: ignore[attr-defined]


def _count(worlds: Worlds, state: Any, timestep: Timestep, observation: Array) -> tuple[Worlds, Timestep, Ended]:
    done = timestep.terminated | timestep.truncated
    total, length = worlds.episode_return + timestep.reward, worlds.episode_length + 1
    ended = Ended(jnp.where(done, total, jnp.nan), jnp.where(done, length, jnp.nan))
    running = jnp.where(done, 0, total), jnp.where(done, 0, length)
    return Worlds(state, observation, *running, worlds.episode_measures), timestep, ended
