"""Real Gymnasium environments in plain Python: stepped here in this process, or by this file run as a process.

Imports no JAX, so that a worker process starts fast and stays small. The environments of one agent are a slice,
known by a number, its handle. A call steps the slices of several agents, shapes ``[A, b, ...]``: ``A`` agents, and the
``b`` of their worlds that live in this process.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from puzzlebox.errors import PuzzleboxError, UsageError

MAX_FLAT = 100_000  # a tuple of Discrete spaces with at most so many combinations becomes one Discrete space


class Steps(NamedTuple):
    """``observation`` is the true s_{t+1}, ``next_observation`` the one to act on, after a restart."""

    observation: np.ndarray  # [A, b, ...]
    reward: np.ndarray  # float32 [A, b]
    terminated: np.ndarray  # bool [A, b]
    truncated: np.ndarray  # bool [A, b], never where terminated
    next_observation: np.ndarray  # [A, b, ...]


def convert_observations(name: str, space: spaces.Space) -> tuple[spaces.Space, Callable[[Any], Any]]:
    """The space as networks and tables see it, and the function that brings an observation into it.

    Reals become float32, bytes stay uint8, other whole numbers become int32, Discrete starts at 0; a tuple of Discrete
    spaces (Blackjack) becomes one Discrete index, or MultiDiscrete if that would be too large. Raises UsageError.
    """
    if isinstance(space, spaces.Box):
        dtype = np.uint8 if space.dtype == np.uint8 else np.int32 if space.low.dtype.kind in "iu" else np.float32
        return spaces.Box(space.low.astype(dtype), space.high.astype(dtype), dtype=dtype), lambda value: value
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return spaces.Discrete(int(space.n)), lambda value: value - start
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return spaces.MultiDiscrete(space.nvec, dtype=np.int32), lambda value: value - space.start
    if isinstance(space, spaces.MultiBinary) and len(space.shape) == 1:
        return spaces.MultiDiscrete(np.full(space.shape, 2), dtype=np.int32), lambda value: value
    if isinstance(space, spaces.Tuple) and all(isinstance(part, spaces.Discrete) for part in space.spaces):
        # Several whole numbers as one: mixed-radix digits, the last one counting single.
        sizes = [int(part.n) for part in space.spaces]  # type: ignore[attr-defined]
        starts = np.array([int(part.start) for part in space.spaces])  # type: ignore[attr-defined]
        if np.prod(sizes) > MAX_FLAT:
            return spaces.MultiDiscrete(sizes, dtype=np.int32), lambda value: np.asarray(value) - starts
        strides = np.append(np.cumprod(sizes[:0:-1])[::-1], 1).astype(np.int64)
        return spaces.Discrete(int(np.prod(sizes))), lambda value: np.dot(np.asarray(value) - starts, strides)
    raise UsageError(
        f"{name} has observations of type {type(space).__name__}; "
        "only Box, Discrete, MultiDiscrete, MultiBinary and tuples of Discrete are supported"
    )


def convert_actions(name: str, space: spaces.Space) -> tuple[spaces.Space, Callable[[np.ndarray], Any]]:
    """The space as a policy sees it, and the function that makes [n, ...] actions ready for the environments."""
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return spaces.Discrete(int(space.n)), lambda actions: (actions + start).tolist()
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return spaces.MultiDiscrete(space.nvec, dtype=np.int32), lambda actions: actions.astype(np.int64) + space.start
    if isinstance(space, spaces.Box) and space.low.dtype.kind == "f":
        box = spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)
        return box, lambda actions: np.clip(actions, space.low, space.high, dtype=space.dtype)
    raise UsageError(f"{name} has actions of type {space}; only Discrete, MultiDiscrete and real Box are supported")


def array_dtype(space: spaces.Space) -> np.dtype:
    """The dtype of the arrays that stand for a converted space: whole numbers are int32, JAX's own default."""
    dtype = np.dtype(space.dtype)
    return np.dtype(np.int32) if dtype.kind == "i" else dtype


def make_one(spec: Any, options: dict[str, Any], **more: Any) -> gymnasium.Env:
    """One environment as registered, its time limit included, without Gymnasium's slow checker."""
    return gymnasium.make(spec, disable_env_checker=True, **options, **more)


class Slices:
    """Environments by the handle of their slice; `reset` makes new ones."""

    def __init__(self, spec: Any, options: dict[str, Any]) -> None:
        self.name, self.spec, self.options = f"gym:{spec.id}", spec, options
        probe = make_one(spec, options)
        space, self.encode = convert_observations(self.name, probe.observation_space)
        self.shape, self.dtype = tuple(space.shape or ()), array_dtype(space)
        self.decode = convert_actions(self.name, probe.action_space)[1]
        self.slices: dict[int, list[gymnasium.Env]] = {}
        probe.close()

    def reset(self, handles: list[int], seeds: np.ndarray) -> tuple[np.ndarray]:
        """Makes a slice per handle, each environment with a seed of its own from [A, b]; observations [A, b, ...]."""
        observation = np.empty((*seeds.shape, *self.shape), self.dtype)
        for a, handle in enumerate(handles):
            envs = self.slices[handle] = [make_one(self.spec, self.options) for _ in seeds[a]]
            for b, env in enumerate(envs):
                observation[a, b] = self.encode(env.reset(seed=int(seeds[a, b]))[0])
        return (observation,)

    def step(self, handles: list[int], actions: np.ndarray) -> Steps:
        """One step of every environment by ``actions`` [A, b, ...]; one whose episode ended restarts at once."""
        batch = actions.shape[:2]
        steps = Steps(
            np.empty((*batch, *self.shape), self.dtype),
            np.empty(batch, np.float32),
            np.empty(batch, bool),
            np.empty(batch, bool),
            np.empty((*batch, *self.shape), self.dtype),
        )
        for a, handle in enumerate(handles):
            envs = self.slices.get(handle)
            if envs is None:
                raise PuzzleboxError(
                    f"the {self.name} worlds of this state are gone (closed, or of another process); reset them"
                )
            for b, (env, action) in enumerate(zip(envs, self.decode(actions[a]), strict=True)):
                observation, reward, terminated, truncated, _ = env.step(action)
                steps.observation[a, b] = observation = self.encode(observation)
                steps.reward[a, b] = reward
                steps.terminated[a, b] = terminated
                steps.truncated[a, b] = truncated and not terminated
                steps.next_observation[a, b] = self.encode(env.reset()[0]) if terminated or truncated else observation
        return steps

    def call(self, method: str, handles: list[int], values: np.ndarray) -> tuple[np.ndarray, ...]:
        """`reset`, `step` or `forget`; whatever an environment raises becomes a PuzzleboxError of one line."""
        try:
            return getattr(self, method)(handles, values)
        except PuzzleboxError:
            raise
        except Exception as fault:
            raise PuzzleboxError(
                f"{self.name} failed in {method}: {type(fault).__name__}: {' '.join(str(fault).split())}"
            ) from fault

    def forget(self, handles: list[int], values: np.ndarray | None = None) -> tuple[()]:
        """Closes the environments of these slices; ``values`` is not used (`call` gives it to every method)."""
        for handle in handles:
            for env in self.slices.pop(handle, []):
                env.close()
        return ()

    def close(self) -> None:
        """Closes all environments."""
        self.forget(list(self.slices))


def main() -> None:
    """Serves calls over standard input and output until the input ends; what environments print goes to stderr."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    slices: Slices | None = None
    reply: Any
    while True:
        try:
            request = pickle.load(requests)
        except (EOFError, KeyboardInterrupt):
            break
        try:
            if slices is None:
                slices, reply = Slices(*request), None
            else:
                reply = tuple(slices.call(*request))
        except PuzzleboxError as fault:
            reply = fault
        pickle.dump(reply, replies, protocol=5)
        replies.flush()
    if slices is not None:
        slices.close()


if __name__ == "__main__":
    main()
