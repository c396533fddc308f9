"""Simulators that live outside the compiled program: Gymnasium's environments, Atari and console emulators.

Their worlds are stepped by a call from the compiled step. The state of ``B`` such worlds is a number that names them,
their handle. Every call takes it and gives it back, which keeps the calls in order; nothing else would. Under ``vmap``
over ``A`` agents one call steps all ``A × B`` worlds.

Departure from pure functions: an old state cannot be stepped again, since the simulators have moved on.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
import secrets
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Protocol

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.experimental import io_callback

from puzzlebox.envs.gymnasium_worker import array_dtype
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.types import Array, Environment, Game, Key, Simulated, Task, Timestep, VectorEnvironment


class Simulators(Protocol):
    """All worlds of one kind, in slices: the ``B`` worlds of one agent, known by a handle."""

    def call(self, method: str, handles: list[int], rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Resets or steps the slices of ``A`` agents; ``rows`` [A, B, ...] are seeds or actions.

        ``reset`` takes seeds uint32 [A, B] and returns observations [A, B, ...]. ``step`` takes actions and returns
        s_{t+1}, reward float32, terminated and truncated bool, the observation to act on next, and, for a kind with
        ``measures``, those as float32 [A, B, M].
        """

    def forget(self, handles: list[int]) -> None:
        """Closes those of these slices that exist."""


class Kind(Protocol):
    """A kind of simulated world; hashable, so that it can be a constant of a compiled program."""

    @property
    def observation_space(self) -> gymnasium.Space: ...
    @property
    def action_space(self) -> gymnasium.Space: ...
    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what a step tells beside the reward, see `Timestep.measures`."""

    def simulators(self) -> Simulators:
        """Where the worlds of this kind live in this process."""


@dataclasses.dataclass(frozen=True)
class HostVector:
    """``B`` worlds per agent as a `VectorEnvironment`; its state is int32 [], the handle of the agent's slice."""

    kind: Kind
    num_envs: int

    @property
    def observation_space(self) -> gymnasium.Space:
        return self.kind.observation_space

    @property
    def action_space(self) -> gymnasium.Space:
        return self.kind.action_space

    def reset(self, key: Key) -> tuple[Array, Array]:
        """New worlds, seeded from ``key``; their handle, and first observations [B, ...]."""
        seeds = jax.random.bits(key, (self.num_envs,), jnp.uint32)
        state, observation = _over_agents(partial(self._call, "reset"))(jnp.int32(0), seeds)
        return state, observation

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Timestep, Array]:
        action = jnp.asarray(action, array_dtype(self.action_space))
        results = _over_agents(partial(self._call, "step"))(state, action)
        state, seen, reward, terminated, truncated, observation, *measured = results
        measures = {name: measured[0][..., i] for i, name in enumerate(self.kind.measures)}
        return state, Timestep(seen, reward, terminated, truncated, measures), observation

    def _call(self, method: str, handle: Array, values: Array) -> tuple[Array, ...]:
        """The call out of the compiled program; ``handle`` [...], ``values`` [..., B, ...], agents in front."""
        # What the call returns has to be known before: shapes and types.
        batch = (*handle.shape, self.num_envs)
        space, measures = self.observation_space, self.kind.measures
        seen = jax.ShapeDtypeStruct((*batch, *(space.shape or ())), array_dtype(space))
        reward, flag = jax.ShapeDtypeStruct(batch, np.float32), jax.ShapeDtypeStruct(batch, np.bool_)
        measured = (jax.ShapeDtypeStruct((*batch, len(measures)), np.float32),) if measures else ()
        results = (seen,) if method == "reset" else (seen, reward, flag, flag, seen, *measured)
        shapes = (jax.ShapeDtypeStruct(handle.shape, np.int32), *results)
        # Every argument of a callback costs about 30 µs, so handles and values, all of 32 bits, travel as one.
        bits = jax.lax.bitcast_convert_type(values, jnp.int32).reshape(*handle.shape, -1)
        packed = jnp.concatenate([handle[..., None], bits], axis=-1)
        call = partial(_on_host, self.kind, method, values.dtype, values.shape[handle.ndim :])
        return io_callback(call, shapes, packed)


def _over_agents(call: Callable[..., tuple[Array, ...]]) -> Callable[..., tuple[Array, ...]]:
    """``call``, whose arguments may have any number of leading axes of agents; under `vmap` it is still called once."""
    mapped = custom_vmap(call)

    def rule(size: int, is_mapped: list[bool], *arguments: Array) -> tuple[Any, Any]:
        # An argument that is the same for all agents is repeated; then all have the axis, and `call` takes them whole.
        whole = [
            a if there else jnp.broadcast_to(a, (size, *a.shape)) for a, there in zip(arguments, is_mapped, strict=True)
        ]
        results = mapped(*whole)
        return results, tuple(True for _ in results)

    mapped.def_vmap(rule)
    return mapped


def _on_host(kind: Kind, method: str, dtype: np.dtype, shape: tuple[int, ...], packed: Any) -> tuple[np.ndarray, ...]:
    """Runs in the callback; ``packed`` is int32 [..., 1 + B·…]: the handle, then the bits of B seeds or actions."""
    packed = np.asarray(packed)
    handle = packed[..., 0]
    rows = np.ascontiguousarray(packed.reshape(-1, packed.shape[-1])[:, 1:]).view(dtype).reshape(-1, *shape)
    try:
        simulators = kind.simulators()
        if method == "reset":
            handle = np.array([next(_HOST.numbers) for _ in rows], np.int32).reshape(handle.shape)
            if _HOST.open:
                _HOST.open[-1].made.append((simulators, handle.reshape(-1).tolist()))
        results = simulators.call(method, handle.reshape(-1).tolist(), rows)
    except PuzzleboxError as fault:
        if _HOST.open:
            _HOST.open[-1].faults.append(fault)
        raise
    return (handle, *(result.reshape(*handle.shape, *result.shape[1:]) for result in results))


class Simulation:
    """What one run knows of its simulators: the worlds it made, their faults, and what went wrong without ending it.

    The run that opens one with `simulation` owns it.
    """

    def __init__(self, incidents: Counter[str]) -> None:
        self.thread = threading.get_ident()
        self.made: list[tuple[Simulators, list[int]]] = []
        self.faults: list[PuzzleboxError] = []
        self.incidents = incidents

    def told(self) -> list[str]:
        """All incidents since the last call, those of simulations inside this one included, with how often."""
        lines = [f"{incident} ({count}×)" if count > 1 else incident for incident, count in self.incidents.items()]
        self.incidents.clear()
        return lines

    def close(self) -> None:
        """Closes the worlds that were made: emulators are whole processes."""
        for simulators, handles in self.made:
            simulators.forget(handles)


class Host:
    """This process as the host of simulators: it numbers their worlds and knows whose simulation is open.

    A call from a compiled program cannot say which run it belongs to. So only one thread may have simulations open; it
    may open one inside the other, and a call belongs to the innermost. A run in another thread is refused.
    """

    def __init__(self) -> None:
        self.numbers = itertools.count(secrets.randbelow(2**30))  # another process's state is not taken for one of ours
        self.open: list[Simulation] = []  # the innermost last
        self.lock = threading.Lock()

    def enter(self) -> Simulation:
        """Opens a simulation for this thread; raises UsageError where another thread has one open."""
        with self.lock:
            if self.open and self.open[-1].thread != threading.get_ident():
                raise UsageError(
                    "another run in this process plays in simulators, and only one can; start this one in a process of "
                    "its own"
                )
            self.open.append(Simulation(self.open[-1].incidents if self.open else Counter()))
            return self.open[-1]

    def leave(self, simulation: Simulation) -> None:
        """Ends a simulation and closes its worlds."""
        with self.lock:
            self.open.remove(simulation)
        simulation.close()


_HOST = Host()


@contextmanager
def simulation(env: Environment | VectorEnvironment | Game | Task | Simulated) -> Iterator[Simulation]:
    """The context in which a run plays in the simulators of ``env``; it does nothing for a world without simulators.

    Inside, a fault of a simulator raises its own PuzzleboxError instead of JAX's report of a callback. At the end the
    worlds made inside are closed. Raises UsageError where another thread plays in simulators.
    """
    if not isinstance(env, Simulated | HostVector):
        yield Simulation(Counter())
        return
    own = _HOST.enter()
    try:
        yield own
    except jax.errors.JaxRuntimeError:
        if own.faults:
            raise own.faults[0] from None
        raise
    finally:
        _HOST.leave(own)


def tell(incident: str) -> None:
    """Remembers, for the run that is going on, what went wrong in a simulator without ending it."""
    if _HOST.open:
        _HOST.open[-1].incidents[incident] += 1


# JAX logs the whole traceback of a callback that raises; ours are told by `simulation`.
logging.getLogger("jax._src.callback").addFilter(
    lambda record: not (record.exc_info and isinstance(record.exc_info[1], PuzzleboxError))
)


def start_worker(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A process of this Python that runs the file ``program``, with pipes; it sees the same packages as this one."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-P", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )


def end_worker(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Closes the pipes of a worker, which ends it; kills it if it still runs after this many ``seconds``."""
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # the process is gone already
            pipe.close()  # type: ignore[union-attr]
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
