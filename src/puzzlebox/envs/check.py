"""One checker for every world: `check_environment` finds what would later spoil a training without a message."""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.vector import Vectorized, random_step, vectorize
from puzzlebox.errors import PuzzleboxError
from puzzlebox.types import Array, Environment, Key, Timestep, VectorEnvironment, World


def check_environment(
    env: World | VectorEnvironment, *, steps: int = 300, num_envs: int = 3, key: Key | None = None
) -> None:
    """Drives ``env`` (an Environment or a VectorEnvironment) with random actions under ``jit``, ``scan`` and ``vmap``.

    Raises PuzzleboxError that names the first rule broken: shapes and dtypes; spaces contain what was seen; a state
    keeps its form; the same key gives the same episode; terminated and truncated are never both set; the
    observation to act on is s_{t+1} unless an episode ended; the timestep is the one of the single world, also at
    an episode's end (for worlds whose step is not random).
    """
    key = jax.random.key(0) if key is None else key
    if isinstance(env, VectorEnvironment):
        _check_vector(env, steps, key)
        return
    many = vectorize(env, num_envs)
    if isinstance(many, Vectorized):
        _check_single(many.env, key)
    _check_vector(many, steps, key)


def sample_actions(space: gymnasium.Space, shape: tuple[int, ...], key: Key) -> Array:
    """Random actions [*shape, ...] of a Discrete, MultiDiscrete or bounded Box space.

    Raises PuzzleboxError for any other space.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return jax.random.randint(key, shape, 0, int(space.n), jnp.int32)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return jax.random.randint(key, (*shape, *space.shape), 0, space.nvec.astype(np.int32), jnp.int32)
    if isinstance(space, gymnasium.spaces.Box) and space.is_bounded():
        low, high = np.float32(space.low), np.float32(space.high)
        return jax.random.uniform(key, (*shape, *space.shape), jnp.float32, low, high)
    raise PuzzleboxError(f"the action space {space} is not Discrete, MultiDiscrete or a bounded Box")


def _check_single(env: Environment, key: Key) -> None:
    """One world by shapes and dtypes alone; `_check_vector` looks at what it does."""
    state, observation = jax.eval_shape(env.reset, key)
    action = jax.eval_shape(lambda: sample_actions(env.action_space, (), key))
    next_state, timestep = jax.eval_shape(env.step, state, action, key)
    before, after = _forms(state), _forms(next_state)
    _require(before == after, f"step changes the form of the state from {before} to {after}")
    _check_forms(env, observation, timestep, ())
    _require("weak" not in _forms((observation, timestep)), "step gives weakly typed arrays; name their dtypes")


def _check_vector(env: VectorEnvironment, steps: int, key: Key) -> None:
    """What the world does under ``vmap``: two agents with the same key and one with another, side by side."""
    same, other = jax.random.split(key)
    start, timestep, observation, alone = _drive(env, steps, jnp.stack([same, same, other]))
    # Shapes, dtypes and ranges.
    _check_forms(env, start, timestep, (3, env.num_envs), (3, steps, env.num_envs))
    for seen in (start, timestep.observation, observation):
        _check_inside(env.observation_space, seen)
    _require(bool(np.all(np.isfinite(timestep.reward))), "a reward is not finite")
    _require(not np.any(timestep.terminated & timestep.truncated), "a step is both terminated and truncated")
    # The same key gives the same episode, and many worlds do what each does alone.
    alone_by_name = _by_name(alone)
    for name, values in _by_name(timestep).items():
        _require(np.array_equal(values[0], values[1]), f"{name} differs between two episodes with the same key")
        alike = np.allclose(values, alone_by_name[name], atol=1e-5)
        _require(alike, f"{name} of many worlds is not that of each alone")
    # The observation to act on differs from s_{t+1} only after an end.
    done = timestep.terminated | timestep.truncated
    changed = np.any(np.reshape(timestep.observation != observation, (*done.shape, -1)), -1)
    _require(not np.any(changed & ~done), "the next observation differs from s_{t+1} though no episode ended")


def _drive(env: VectorEnvironment, steps: int, keys: Key) -> tuple[Any, Timestep, Any, Timestep]:
    """Random episodes of ``A`` agents, one per key, ``steps`` long, as NumPy arrays.

    Returns first observations [A, B, ...], timesteps [A, steps, B, ...], observations to act on, and the timesteps
    of each world stepped on its own (the same ones again where that cannot be compared).
    """
    single = env.env if isinstance(env, Vectorized) and not random_step(env.env) else None

    def episode(key: Key) -> tuple[Array, Timestep, Array, Timestep]:
        reset_key, action_key, step_key = jax.random.split(key, 3)
        first, start = env.reset(reset_key)
        actions = sample_actions(env.action_space, (steps, env.num_envs), action_key)

        def move(before: Any, inputs: tuple[Array, Key]) -> tuple[Any, tuple[Timestep, Array, Timestep]]:
            action, key = inputs
            state, timestep, observation = env.step(before, action, key)
            alone = timestep
            if single is not None:
                alone = jax.vmap(single.step)(before, action, jax.random.split(key, env.num_envs))[1]
            return state, (timestep, observation, alone)

        return start, *jax.lax.scan(move, first, (actions, jax.random.split(step_key, steps)))[1]

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(episode))(keys))


def _check_forms(
    env: Environment | VectorEnvironment,
    start: Any,
    timestep: Timestep,
    at_start: tuple[int, ...],
    later: tuple[int, ...] | None = None,
) -> None:
    """Shapes and dtypes: of first observations with the batch shape ``at_start``, of timesteps with ``later``."""
    later = at_start if later is None else later
    space = env.observation_space
    shape, dtype = tuple(space.shape or ()), jax.dtypes.canonicalize_dtype(space.dtype)
    for seen, batch in ((start, at_start), (timestep.observation, later)):
        found, expected = _form(seen), f"{dtype}{[*batch, *shape]}"
        _require(found == expected, f"an observation is {found}; its space says {expected}")
    kinds = {"reward": "float32", "terminated": "bool", "truncated": "bool"} | dict.fromkeys(
        timestep.measures, "float32"
    )
    for name, values in _by_name(timestep).items():
        if name in kinds:
            found, expected = _form(values), f"{kinds[name]}{list(later)}"
            _require(found == expected, f"{name} is {found}; it must be {expected}")


def _by_name(timestep: Timestep) -> dict[str, Any]:
    """The fields of a timestep and its measures, by name."""
    fields = timestep._asdict()
    measures = fields.pop("measures")
    return fields | measures


def _check_inside(space: gymnasium.Space, seen: Any) -> None:
    values = np.asarray(seen, space.dtype).reshape((-1, *(space.shape or ())))
    for value in values[:: max(1, len(values) // 1000)]:
        _require(bool(space.contains(value)), f"the observation {value} is not in {space}")


def _form(array: Any) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _forms(tree: Any) -> str:
    leaves = jax.tree.leaves(tree)
    return ", ".join(_form(leaf) + (" weak" if leaf.weak_type else "") for leaf in leaves)


def _require(holds: bool, broken: str) -> None:
    if not holds:
        raise PuzzleboxError(f"not a sound environment: {broken}")
