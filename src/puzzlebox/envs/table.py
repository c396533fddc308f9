"""Any finite MDP as a world: outcomes are drawn from its table inside the compiled program.

Also reads the tables that Gymnasium's toy-text tasks publish: ``P[state][action] = [(probability, next state, reward,
done), ...]`` and ``initial_state_distrib``. They are taken literally: an outcome marked done is worth its reward and
nothing after, and a state that only follows a done outcome keeps the row the task wrote for it (FrozenLake loops on
itself with reward 0; Taxi and CliffWalking would let the agent walk on, at −1 a step).
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.errors import UsageError
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


def has_table(env: gymnasium.Env) -> bool:
    """Whether a Gymnasium environment publishes its whole transition table.

    Taxi's ``fickle_passenger`` changes the destination outside its table, so such a task has none.
    """
    world = env.unwrapped
    return hasattr(world, "P") and not getattr(world, "fickle_passenger", False)


def table_from_gymnasium(env: gymnasium.Env) -> TableWorld:
    """A Gymnasium task that publishes its transitions, as a pure world with the time limit of its registration."""
    mdp = mdp_from_gymnasium(env)
    limit = env.spec.max_episode_steps if env.spec is not None else None
    return TableWorld(Table(mdp), layout=_layout(env.unwrapped, mdp), time_limit=limit or 0)


def mdp_from_gymnasium(env: gymnasium.Env) -> MDP:
    """The exact process behind Gymnasium's ``P``; float64 numpy arrays, equal outcomes merged.

    ``K`` is the largest number of different outcomes of a state and action; shorter rows are padded with outcomes of
    probability 0. Raises UsageError where the task publishes no table, or one that is no distribution.
    """
    world: Any = env.unwrapped
    name = env.spec.id if env.spec is not None else type(world).__name__
    if not has_table(env) or not hasattr(world, "initial_state_distrib"):
        raise UsageError(
            f"{name} does not publish its transitions, so it cannot be solved exactly; train on it instead"
        )
    # One row per state and action, its outcomes merged.
    num_states, num_actions = len(world.P), len(world.P[0])
    rows = [_merge(world.P[state][action]) for state in range(num_states) for action in range(num_actions)]
    width = max(map(len, rows))
    # The rows as arrays [S · U, K]; what is not filled stays in its own state, with probability 0.
    next_state = np.repeat(np.arange(num_states, dtype=np.int32), num_actions * width).reshape(-1, width)
    probability, reward = np.zeros(next_state.shape), np.zeros(next_state.shape)
    terminated = np.zeros(next_state.shape, bool)
    for index, row in enumerate(rows):
        total = sum(row.values())
        if abs(total - 1) > 1e-6:
            state, action = divmod(index, num_actions)
            raise UsageError(f"{name}: the outcomes of state {state}, action {action} sum to {total:.6g}, not 1")
        for k, ((following, paid, done), chance) in enumerate(row.items()):
            next_state[index, k], reward[index, k], terminated[index, k] = following, paid, done
            probability[index, k] = chance / total
    start = np.asarray(world.initial_state_distrib, np.float64)
    shape = (num_states, num_actions, width)
    return MDP(
        next_state.reshape(shape),
        probability.reshape(shape),
        reward.reshape(shape),
        terminated.reshape(shape),
        start / start.sum(),
    )


def _merge(outcomes: list[tuple[float, int, float, bool]]) -> dict[tuple[int, float, bool], float]:
    """(next state, reward, done) -> probability, of the outcomes that can occur."""
    merged: dict[tuple[int, float, bool], float] = {}
    for probability, following, reward, done in outcomes:
        if probability > 0:
            outcome = (int(following), float(reward), bool(done))
            merged[outcome] = merged.get(outcome, 0.0) + float(probability)
    return merged


def _layout(world: Any, mdp: MDP) -> Layout | None:
    """The map of FrozenLake (``desc``) and CliffWalking (``shape`` and its cliff); None for tasks that are no grid."""
    num_states = mdp.next_state.shape[0]
    if getattr(world, "desc", None) is not None and np.size(world.desc) == num_states:
        cells = np.char.replace(np.asarray(world.desc).astype(str), "F", ".")
    elif hasattr(world, "_cliff") and np.size(world._cliff) == num_states:
        cells = np.where(world._cliff, "H", ".")
        cells.flat[np.flatnonzero(mdp.start)] = "S"
        cells.flat[np.unique(mdp.next_state[mdp.terminated & (mdp.probability > 0)])] = "G"
    else:
        return None
    actions = _compass(mdp, cells.shape[1])
    return Layout(tuple("".join(row) for row in cells), actions) if actions else None


def _compass(mdp: MDP, width: int) -> str | None:
    """Where each action mostly goes, read off the table itself: the mean of its moves to a neighbouring cell."""
    here = np.arange(len(mdp.next_state))[:, None, None]
    down = mdp.next_state // width - here // width
    right = mdp.next_state % width - here % width
    weight = np.where(np.abs(down) + np.abs(right) == 1, mdp.probability, 0.0)
    letters = ""
    for action in range(weight.shape[1]):
        south = float((weight * down)[:, action].sum())
        east = float((weight * right)[:, action].sum())
        letters += ("S" if south > 0 else "N") if abs(south) > abs(east) else ("E" if east > 0 else "W")
    return letters if len(set(letters)) == len(letters) else None
