"""Acting in worlds: a policy and `B` worlds make a `Trajectory`, inside one compiled scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from puzzlebox.nets.heads import to_world
from puzzlebox.types import Array, Key, Metrics, Timestep, Trajectory, VectorEnvironment


class Worlds(NamedTuple):
    """Where ``B`` worlds stand: state, what is seen now, and the running episode's return, length and measures."""

    state: Any
    observation: Array
    episode_return: Array
    episode_length: Array
    episode_measures: dict[str, Array] = {}  # noqa: RUF012 (never changed)


def start(env: VectorEnvironment, key: Key) -> Worlds:
    """All worlds at the first observation of an episode."""
    state, observation = env.reset(key)
    action = jax.ShapeDtypeStruct(
        (env.num_envs, *(env.action_space.shape or ())), jax.dtypes.canonicalize_dtype(env.action_space.dtype)
    )
    names = jax.eval_shape(env.step, state, action, key)[1].measures
    zeros = jnp.zeros(env.num_envs)
    return Worlds(state, observation, zeros, jnp.zeros(env.num_envs, jnp.int32), dict.fromkeys(names, zeros))


def rollout(
    act: Callable[[Array, Key], tuple[Array, Any]],
    env: VectorEnvironment,
    worlds: Worlds,
    num_steps: int,
    key: Key,
    keep: Callable[[Timestep], Any] = lambda timestep: timestep.observation,
) -> tuple[Worlds, Trajectory, Metrics]:
    """Takes ``num_steps`` steps in every world.

    ``act(observation [B, ...], key) -> (action [B, ...], log_prob [B])``; in the place of ``log_prob`` it may give
    anything else that is to be kept of the choice, leaves ``[B, ...]``, and the trajectory has it there. Likewise
    ``keep(timestep)`` is what the trajectory has in the place of ``next_observation``: the observation by default.
    Returns the worlds as they stand, a trajectory with leaves ``[T, B, ...]``, and the mean return, length and measures
    of the episodes that ended (NaN if none).
    """

    def step(worlds: Worlds, keys: Key):
        action, log_prob = act(worlds.observation, keys[0])
        state, timestep, observation = env.step(worlds.state, to_world(env.action_space, action), keys[1])
        done = timestep.terminated | timestep.truncated
        episode_return = worlds.episode_return + timestep.reward
        episode_length = worlds.episode_length + 1
        measures = {name: total + timestep.measures[name] for name, total in worlds.episode_measures.items()}
        trajectory = Trajectory(
            worlds.observation,
            action,
            log_prob,
            timestep.reward,
            timestep.terminated,
            timestep.truncated,
            keep(timestep),
            jnp.ones_like(done),
        )
        totals = {"episode_return": episode_return, "episode_length": episode_length} | measures
        ended = {name: jnp.where(done, total, jnp.nan) for name, total in totals.items()}
        running = jax.tree.map(lambda total: jnp.where(done, 0, total), (episode_return, episode_length, measures))
        return Worlds(state, observation, *running), (trajectory, ended)

    worlds, (trajectory, ended) = jax.lax.scan(step, worlds, jax.random.split(key, (num_steps, 2)))
    return worlds, trajectory, {name: nan_mean(values) for name, values in ended.items()}


def nan_mean(x: Array) -> Array:
    """The mean of the numbers in ``x`` that are not NaN; NaN if there are none."""
    counts = ~jnp.isnan(x)
    return jnp.where(counts, x, 0).sum() / counts.sum()
