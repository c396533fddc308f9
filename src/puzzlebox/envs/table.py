"""Any finite MDP as a world: outcomes are drawn from its table inside the compiled program."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.fields import param
from puzzlebox.types import MDP, Array, Key, Layout, Timestep


class Table:
    """An MDP that can be compared and hashed by content, so that it can be a constant of a compiled program."""

    def __init__(self, mdp: MDP):
        self.mdp = MDP(*map(np.asarray, mdp))

    @cached_property
    def digest(self) -> bytes:
        """A SHA-256 over shapes, types and numbers: equal tables have equal ones."""
        sha = hashlib.sha256()
        for leaf in map(np.ascontiguousarray, self.mdp):
            sha.update(str((leaf.shape, leaf.dtype)).encode())
            sha.update(leaf.tobytes())
        return sha.digest()

    @cached_property
    def thresholds(self) -> np.ndarray:
        """Outcome k is drawn where a uniform number passes the first k of these; float32 [S, U, K − 1]."""
        probability = self.mdp.probability.astype(np.float64)
        cumulative = np.cumsum(probability, axis=-1)
        # Rounding must never reach an outcome of probability 0: the last possible one takes all that is left.
        remaining = np.cumsum(probability[..., ::-1], axis=-1)[..., ::-1] - probability
        return np.where(remaining > 0, cumulative, 2.0)[..., :-1].astype(np.float32)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


class TableState(NamedTuple):
    state: Array  # int32 [], below S
    time: Array  # int32 [], steps


class TableWorld(eqx.Module):
    """A finite MDP as an `Environment`; make it with ``TableWorld(Table(mdp))``.

    Observation: the state, int32 below S. Action: int32 below U. ``layout`` is for pictures of worlds that are grids.
    """

    table: Table = eqx.field(static=True)
    layout: Layout | None = eqx.field(static=True, default=None)
    time_limit: int = param(0, "steps after which an episode is cut off (0 = never)", low=0)

    @property
    def observation_space(self) -> gymnasium.Space:
        return gymnasium.spaces.Discrete(self.table.mdp.next_state.shape[0])

    @property
    def action_space(self) -> gymnasium.Space:
        return gymnasium.spaces.Discrete(self.table.mdp.next_state.shape[1])

    @property
    def random_step(self) -> bool:
        """Whether a step draws at random; False where every move has one outcome."""
        return self.table.mdp.next_state.shape[2] > 1

    def mdp(self) -> MDP:
        """The exact process."""
        return self.table.mdp

    def reset(self, key: Key) -> tuple[TableState, Array]:
        starts = np.flatnonzero(self.table.mdp.start > 0)
        cumulative = np.cumsum(self.table.mdp.start[starts])[:-1]
        drawn = jnp.sum(jax.random.uniform(key) >= jnp.asarray(cumulative, jnp.float32))
        state = jnp.asarray(starts, jnp.int32)[drawn]
        return TableState(state, jnp.zeros((), jnp.int32)), state

    def step(self, state: TableState, action: Array, key: Key) -> tuple[TableState, Timestep]:
        mdp = self.table.mdp
        drawn = jnp.zeros((), jnp.int32)
        if self.random_step:
            drawn = jnp.sum(jax.random.uniform(key) >= jnp.asarray(self.table.thresholds)[state.state, action])
        outcome = (state.state, action, drawn)
        following = jnp.asarray(mdp.next_state, jnp.int32)[outcome]
        reward = jnp.asarray(mdp.reward, jnp.float32)[outcome]
        terminated = jnp.asarray(mdp.terminated)[outcome]
        time = state.time + 1
        truncated = ~terminated & (time >= self.time_limit) & (self.time_limit > 0)
        return TableState(following, time), Timestep(following, reward, terminated, truncated)
