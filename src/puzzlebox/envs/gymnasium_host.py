"""Any Gymnasium environment inside a compiled step: ``gym:LunarLander-v3``, ``gym:Blackjack-v1,natural=true``.

A task that publishes its transitions becomes a pure world (`envs.table`). Every other one stays in Python and is
called from the compiled program. The state of such a world is a number that names its environments; every call takes
it and gives it back, so the calls keep their order though nothing else orders them. Under ``vmap`` over ``A`` agents
one call steps all ``A × B`` environments.

Departure from pure functions: an old state cannot be stepped again, since the environments have moved on.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.experimental import io_callback

from puzzlebox.envs.gymnasium_names import create, find, read_options
from puzzlebox.envs.gymnasium_pool import close_pool, open_pool
from puzzlebox.envs.gymnasium_worker import array_dtype, convert_actions, convert_observations
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.types import Array, Key, Timestep


def make_gymnasium(name: str, options: dict[str, str]) -> Any:
    """The world behind ``gym:NAME,option=value``; options are Gymnasium's own, read as JSON where they are JSON.

    Two are ours: ``host=true`` keeps a task in Python though it publishes its transitions, and ``workers=N`` steps
    the environments in N processes. Raises UsageError for unknown names, options and unsupported spaces, and for a
    missing package.
    """
    spec, settings = find(name), read_options(options)
    host, workers = settings.pop("host", False), settings.pop("workers", 0)
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 0:
        raise UsageError(f"workers is {workers}; it must be a whole number, 0 for none")
    if not isinstance(host, bool):
        raise UsageError(f"host is {host}; it must be true or false")
    world = create(spec, settings)
    try:
        if not host and hasattr(world.unwrapped, "P"):
            from puzzlebox.envs.table import has_table, table_from_gymnasium

            if has_table(world):
                return table_from_gymnasium(world)
        env = HostEnvironment(spec.id, tuple(sorted(settings.items())), workers)
        _spaces(env)
        return env
    finally:
        world.close()


@dataclasses.dataclass(frozen=True)
class HostEnvironment:
    """A Gymnasium environment that stays in Python; hashable, so that it can be a constant of a compiled program."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()
    workers: int = 0

    @property
    def observation_space(self) -> gymnasium.Space:
        return _spaces(self)[0]

    @property
    def action_space(self) -> gymnasium.Space:
        return _spaces(self)[1]

    def vectorize(self, num_envs: int) -> HostVector:
        """``num_envs`` environments for each agent."""
        return HostVector(self, num_envs)

    def single(self, render_mode: str | None = None) -> gymnasium.Env:
        """One environment in plain Python, to watch: observations and actions are those our policies know."""
        return Single(create(gymnasium.registry[self.name], dict(self.options), render_mode=render_mode), self)

    def close(self) -> None:
        """Closes all environments and worker processes made from this one; their states cannot be stepped again."""
        close_pool(self)


class Single(gymnasium.Wrapper):
    """One environment with converted spaces."""

    def __init__(self, env: gymnasium.Env, host: HostEnvironment) -> None:
        super().__init__(env)
        self.observation_space, self._encode = convert_observations(host.name, env.observation_space)
        self.action_space, self._decode = convert_actions(host.name, env.action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._observe(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        ready = self._decode(np.asarray(action)[None])[0]
        observation, reward, terminated, truncated, info = self.env.step(ready)
        return self._observe(observation), float(reward), bool(terminated), bool(truncated and not terminated), info

    def _observe(self, observation: Any) -> np.ndarray:
        return np.asarray(self._encode(observation), self.observation_space.dtype)


@lru_cache
def _spaces(env: HostEnvironment) -> tuple[gymnasium.Space, gymnasium.Space]:
    world = create(gymnasium.registry[env.name], dict(env.options))
    try:
        name = f"gym:{env.name}"
        return (
            convert_observations(name, world.observation_space)[0],
            convert_actions(name, world.action_space)[0],
        )
    finally:
        world.close()


@dataclasses.dataclass(frozen=True)
class HostVector:
    """``B`` environments per agent as a `VectorEnvironment`; its state is int32 [], the number of the agent's slice."""

    env: HostEnvironment
    num_envs: int

    @property
    def observation_space(self) -> gymnasium.Space:
        return self.env.observation_space

    @property
    def action_space(self) -> gymnasium.Space:
        return self.env.action_space

    def reset(self, key: Key) -> tuple[Array, Array]:
        """New environments, seeded from ``key``."""
        seeds = jax.random.bits(key, (self.num_envs,), jnp.uint32)
        state, observation = _over_agents(partial(self._call, "reset"))(jnp.int32(0), seeds)
        return state, observation

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Timestep, Array]:
        action = jnp.asarray(action, array_dtype(self.action_space))
        state, *timestep, observation = _over_agents(partial(self._call, "step"))(state, action)
        return state, Timestep(*timestep), observation

    def _call(self, method: str, handle: Array, values: Array) -> tuple[Array, ...]:
        batch = (*handle.shape, self.num_envs)
        space = self.observation_space
        seen = jax.ShapeDtypeStruct((*batch, *(space.shape or ())), array_dtype(space))
        reward, flag = jax.ShapeDtypeStruct(batch, np.float32), jax.ShapeDtypeStruct(batch, np.bool_)
        results = (seen,) if method == "reset" else (seen, reward, flag, flag, seen)
        shapes = (jax.ShapeDtypeStruct(handle.shape, np.int32), *results)
        # Every argument of a callback costs about 30 µs, so handles and values, all of 32 bits, travel as one.
        bits = jax.lax.bitcast_convert_type(values, jnp.int32).reshape(*handle.shape, -1)
        packed = jnp.concatenate([handle[..., None], bits], axis=-1)
        call = partial(_on_host, self.env, method, values.dtype, values.shape[handle.ndim :])
        return io_callback(call, shapes, packed)


def _over_agents(call: Callable[..., tuple[Array, ...]]) -> Callable[..., tuple[Array, ...]]:
    """``call`` for one agent or any number of leading agent axes, always as one call."""
    mapped = custom_vmap(call)

    def rule(size: int, is_mapped: list[bool], *arguments: Array) -> tuple[Any, Any]:
        whole = [
            a if there else jnp.broadcast_to(a, (size, *a.shape)) for a, there in zip(arguments, is_mapped, strict=True)
        ]
        results = mapped(*whole)
        return results, tuple(True for _ in results)

    mapped.def_vmap(rule)
    return mapped


def _on_host(
    env: HostEnvironment, method: str, dtype: np.dtype, shape: tuple[int, ...], packed: Any
) -> tuple[np.ndarray, ...]:
    """Runs in the callback; ``packed`` is int32 [..., 1 + B·…]: the handle, then the bits of B seeds or actions."""
    packed = np.asarray(packed)
    handle = packed[..., 0]
    rows = np.ascontiguousarray(packed.reshape(-1, packed.shape[-1])[:, 1:]).view(dtype).reshape(-1, *shape)
    try:
        pool = open_pool(env, gymnasium.registry[env.name], dict(env.options), env.workers)
        if method == "reset":
            handle = np.array(pool.new_handles(len(rows)), np.int32).reshape(handle.shape)
        results = pool.call(method, handle.reshape(-1).tolist(), rows)
    except PuzzleboxError as fault:
        _FAULTS.append(fault)
        raise
    return (handle, *(result.reshape(*handle.shape, *result.shape[1:]) for result in results))


@contextmanager
def host_errors() -> Iterator[None]:
    """Inside, a fault of an environment raises the PuzzleboxError that tells it, and not JAX's report of a callback."""
    _FAULTS.clear()
    try:
        yield
    except jax.errors.JaxRuntimeError:
        if _FAULTS:
            raise _FAULTS[0] from None
        raise


_FAULTS: list[PuzzleboxError] = []
# JAX logs the whole traceback of a callback that raises; ours are told by host_errors.
logging.getLogger("jax._src.callback").addFilter(
    lambda record: not (record.exc_info and isinstance(record.exc_info[1], PuzzleboxError))
)
