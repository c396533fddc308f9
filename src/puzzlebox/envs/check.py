"""One checker for every world: `check_environment` finds what would later spoil a training silently."""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.vector import Vectorized, vectorize
from puzzlebox.errors import PuzzleboxError
from puzzlebox.types import Array, Key, Timestep


def check_environment(env: Any, *, steps: int = 300, num_envs: int = 3, key: Key | None = None) -> None:
    """Drives ``env`` (an Environment or a VectorEnvironment) with random actions under ``jit``, ``scan`` and ``vmap``.

    Raises PuzzleboxError that names the first rule broken: shapes and dtypes; spaces contain what was seen; a state
    keeps its form; the same key gives the same episode; terminated and truncated are never both set; the
    observation to act on is s_{t+1} unless an episode ended; the timestep is the one of the single world, also at
    an episode's end (for worlds whose step is not random).
    """
    key = jax.random.key(0) if key is None else key
    if hasattr(env, "num_envs"):
        _check_vector(env, steps, key)
        return
    many = vectorize(env, num_envs)
    if isinstance(many, Vectorized):
        _check_single(env, key)
    _check_vector(many, steps, key)
    if isinstance(many, Vectorized) and not getattr(env, "random_step", True):
        _check_true_timestep(many, steps, key)


def sample_actions(space: gymnasium.Space, shape: tuple[int, ...], key: Key) -> Array:
    """Random actions [*shape, ...] of a Discrete, MultiDiscrete or bounded Box space."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return jax.random.randint(key, shape, 0, int(space.n), jnp.int32)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return jax.random.randint(key, (*shape, *space.shape), 0, space.nvec.astype(np.int32), jnp.int32)
    if isinstance(space, gymnasium.spaces.Box) and space.is_bounded():
        low, high = np.float32(space.low), np.float32(space.high)
        return jax.random.uniform(key, (*shape, *space.shape), jnp.float32, low, high)
    raise PuzzleboxError(f"the action space {space} is not Discrete, MultiDiscrete or a bounded Box")


def _check_single(env: Any, key: Key) -> None:
    reset_key, action_key, step_key = jax.random.split(key, 3)
    action = sample_actions(env.action_space, (), action_key)
    state, observation = jax.jit(lambda key: env.reset(key))(reset_key)
    next_state, timestep = jax.jit(lambda *inputs: env.step(*inputs))(state, action, step_key)
    before, after = _form(state), _form(next_state)
    _require(before == after, f"step changes the form of the state from {before} to {after}")
    _require("~" not in _form((observation, timestep)), "step gives weakly typed arrays; name their dtypes")
    _check_timestep(env, timestep, ())
    _check_observations(env, observation, ())


def _check_vector(env: Any, steps: int, key: Key) -> None:
    """Two agents with one key and one with another, side by side under ``vmap``."""
    same, other = jax.random.split(key)
    start, timestep, observation = _drive(env, steps, jnp.stack([same, same, other]))
    _check_observations(env, start, (3, env.num_envs))
    _check_timestep(env, timestep, (3, steps, env.num_envs))
    _check_observations(env, observation, (3, steps, env.num_envs))
    for name, values in zip(Timestep._fields, timestep, strict=True):
        _require(np.array_equal(values[0], values[1]), f"{name} differs between two episodes with the same key")
    done = timestep.terminated | timestep.truncated
    changed = np.any(np.reshape(timestep.observation != observation, (*done.shape, -1)), -1)
    _require(not np.any(changed & ~done), "the next observation differs from s_{t+1} though no episode ended")


def _drive(env: Any, steps: int, keys: Key) -> tuple[np.ndarray, Timestep, np.ndarray]:
    def episode(key: Key) -> tuple[Array, Timestep, Array]:
        reset_key, action_key, step_key = jax.random.split(key, 3)
        state, start = env.reset(reset_key)
        actions = sample_actions(env.action_space, (steps, env.num_envs), action_key)

        def move(state: Any, inputs: tuple[Array, Key]) -> tuple[Any, tuple[Timestep, Array]]:
            state, timestep, observation = env.step(state, *inputs)
            return state, (timestep, observation)

        _, (timestep, observation) = jax.lax.scan(move, state, (actions, jax.random.split(step_key, steps)))
        return start, timestep, observation

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(episode))(keys))


def _check_true_timestep(many: Vectorized, steps: int, key: Key) -> None:
    reset_key, action_key, step_key = jax.random.split(key, 3)

    def move(state: Any, inputs: tuple[Array, Key]) -> tuple[Any, tuple[Timestep, Timestep]]:
        alone = jax.vmap(many.env.step)(state, inputs[0], jax.random.split(inputs[1], many.num_envs))[1]
        state, timestep, _ = many.step(state, *inputs)
        return state, (timestep, alone)

    actions = sample_actions(many.action_space, (steps, many.num_envs), action_key)
    inputs = (actions, jax.random.split(step_key, steps))
    _, pair = jax.jit(lambda state: jax.lax.scan(move, state, inputs))(many.reset(reset_key)[0])
    for name, together, alone in zip(Timestep._fields, *pair, strict=True):
        _require(np.allclose(together, alone, atol=1e-5), f"{name} of many worlds is not that of each alone")


def _check_timestep(env: Any, timestep: Timestep, batch: tuple[int, ...]) -> None:
    _check_observations(env, timestep.observation, batch)
    for name, dtype in (("reward", "float32"), ("terminated", "bool"), ("truncated", "bool")):
        value = getattr(timestep, name)
        found, expected = f"{value.dtype}{list(value.shape)}", f"{dtype}{list(batch)}"
        _require(found == expected, f"{name} is {found}; it must be {expected}")
    _require(bool(np.all(np.isfinite(timestep.reward))), "a reward is not finite")
    _require(not np.any(timestep.terminated & timestep.truncated), "a step is both terminated and truncated")


def _check_observations(env: Any, observation: Any, batch: tuple[int, ...]) -> None:
    space = env.observation_space
    shape = tuple(space.shape or ())
    found = f"{observation.dtype}{list(observation.shape)}"
    expected = f"{jax.dtypes.canonicalize_dtype(space.dtype)}{[*batch, *shape]}"
    _require(found == expected, f"an observation is {found}; its space says {expected}")
    values = np.asarray(observation, space.dtype).reshape((-1, *shape))
    for value in values[:: max(1, len(values) // 1000)]:
        _require(bool(space.contains(value)), f"the observation {value} is not in {space}")


def _form(tree: Any) -> str:
    """Dtypes and shapes; JAX marks a weak type with ~."""
    return ", ".join(str(jax.typeof(leaf)) for leaf in jax.tree.leaves(tree))


def _require(holds: bool, broken: str) -> None:
    if not holds:
        raise PuzzleboxError(f"not a sound environment: {broken}")
