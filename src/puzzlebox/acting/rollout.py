"""Acting in worlds: a policy and `B` worlds make a `Trajectory`, inside one compiled scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from puzzlebox.nets.heads import to_world
from puzzlebox.types import Array, Key, Metrics, Timestep, Trajectory, VectorEnvironment


class Worlds(NamedTuple):
    """Where ``B`` worlds stand: their state, what they show now, and the running episodes' figures so far."""

    state: Any
    observation: Array  # [B, ...]
    episode_return: Array  # float32 [B]
    episode_length: Array  # int32 [B]
    episode_measures: dict[str, Array] = {}  # noqa: RUF012 (never changed); float32 [B] each


class Choice(NamedTuple):
    """What a policy chose in ``B`` worlds.

    ``action [B, ...]`` is in the policy's own units (`to_world` has the world's) and ``log_prob [B]`` its log π(a | s);
    ``extras``: leaves ``[B, ...]``, which become the trajectory's.
    """

    action: Array
    log_prob: Array
    extras: dict[str, Array] = {}  # noqa: RUF012 (never changed)


def start(env: VectorEnvironment, key: Key) -> Worlds:
    """All worlds at the first observation of an episode."""
    state, observation = env.reset(key)
    names = jax.eval_shape(env.step, state, zero_actions(env), key)[1].measures
    zeros = jnp.zeros(env.num_envs)
    return Worlds(state, observation, zeros, jnp.zeros(env.num_envs, jnp.int32), dict.fromkeys(names, zeros))


def zero_actions(env: VectorEnvironment) -> Array:
    """Zeros in shape ``[B, ...]`` and type of the actions that ``B`` worlds take."""
    space = env.action_space
    return jnp.zeros((env.num_envs, *(space.shape or ())), jax.dtypes.canonicalize_dtype(space.dtype))


def rollout(
    act: Callable[[Array, Key], Choice],
    env: VectorEnvironment,
    worlds: Worlds,
    num_steps: int,
    key: Key,
    look: Callable[[Timestep], dict[str, Array]] = lambda timestep: {},
) -> tuple[Worlds, Trajectory, Metrics]:
    """Takes ``num_steps`` steps in every world.

    ``act(observation [B, ...], key)`` chooses. ``look(timestep)`` may add extras ``[B, ...]``: what is to be known of
    what followed a step where that need not be stored itself. Returns the worlds as they stand, a trajectory with
    leaves ``[T, B, ...]``, and the mean return, length and measures of the episodes that ended (NaN if none).

    A leaf of the trajectory that nobody reads costs nothing: the compiler neither computes nor stores it.
    """

    def step(worlds: Worlds, keys: Key):
        # act, and let the worlds answer
        choice = act(worlds.observation, keys[0])
        state, timestep, observation = env.step(worlds.state, to_world(env.action_space, choice.action), keys[1])
        done = timestep.terminated | timestep.truncated
        trajectory = Trajectory(
            worlds.observation,
            choice.action,
            choice.log_prob,
            timestep.reward,
            timestep.terminated,
            timestep.truncated,
            timestep.observation,
            jnp.ones_like(done),
            choice.extras | look(timestep),
        )

        # add up the running episodes; those that ended are reported and begin again at 0
        episode_return = worlds.episode_return + timestep.reward
        episode_length = worlds.episode_length + 1
        measures = {name: total + timestep.measures[name] for name, total in worlds.episode_measures.items()}
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
