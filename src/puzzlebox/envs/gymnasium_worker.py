"""Real Gymnasium environments in plain Python: stepped here in this process, or by this file run as a process.

Imports no JAX, so that a worker process starts fast and stays small. The environments of one agent are a slice,
known by a number, its handle. A call steps the slices of several agents, shapes ``[A, b, ...]``: ``A`` agents, and the
``b`` of their worlds that live in this process.
"""

from __future__ import annotations

import math
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from puzzlebox.envs.gymnasium_observations import Unfit, convert_observations, first_of
from puzzlebox.errors import PuzzleboxError, UsageError, where_raised


class Steps(NamedTuple):
    """``observation`` is the true s_{t+1}, ``next_observation`` the one to act on, after a restart."""

    observation: np.ndarray  # [A, b, ...]
    reward: np.ndarray  # float32 [A, b]
    terminated: np.ndarray  # bool [A, b]
    truncated: np.ndarray  # bool [A, b], never where terminated
    next_observation: np.ndarray  # [A, b, ...]


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
        self.taken: dict[int, int] = {}  # steps of each slice since it was made
        probe.close()

    def reset(self, handles: list[int], seeds: np.ndarray) -> tuple[np.ndarray]:
        """Makes a slice per handle, each environment with a seed of its own from [A, b]; observations [A, b, ...]."""
        observation = np.empty((*seeds.shape, *self.shape), self.dtype)
        for a, handle in enumerate(handles):
            envs = self.slices[handle] = [make_one(self.spec, self.options) for _ in seeds[a]]
            self.taken[handle] = 0
            for b, env in enumerate(envs):
                try:
                    first = first_of(env.reset(seed=int(seeds[a, b])))
                    observation[a, b] = self.encode(first, thorough=True)
                except Unfit as fault:
                    raise self._fault(handle, b, fault) from None
        self._require_finite(handles, "observation", observation)
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
        encode, total, ended = self.encode, 0.0, False
        for a, handle in enumerate(handles):
            envs = self.slices.get(handle)
            if envs is None:
                raise PuzzleboxError(
                    f"the {self.name} worlds of this state are gone (closed, or of another process); reset them"
                )
            self.taken[handle] += 1
            for b, (env, action) in enumerate(zip(envs, self.decode(actions[a]), strict=True)):
                observation, reward, terminated, truncated, _ = env.step(action)
                try:
                    steps.observation[a, b] = observation = encode(observation)
                    steps.reward[a, b] = paid = _number(reward)
                    total += paid
                    steps.terminated[a, b] = terminated
                    steps.truncated[a, b] = truncated and not terminated
                    if terminated or truncated:
                        ended = True
                        observation = encode(first_of(env.reset()))
                    steps.next_observation[a, b] = observation
                except Unfit as fault:
                    raise self._fault(handle, b, fault) from None
        # For all at once: asking each observation on its own would cost as much as stepping a small environment.
        if not math.isfinite(total):
            self._require_finite(handles, "reward", steps.reward)
        if ended:  # else both are the same
            self._require_finite(handles, "observation", steps.observation)
        self._require_finite(handles, "observation", steps.next_observation)
        return steps

    def _require_finite(self, handles: list[int], what: str, values: np.ndarray) -> None:
        """Raises PuzzleboxError for NaN and infinity in ``values`` [A, b, ...], which would ruin every network."""
        # 0 · NaN and 0 · ∞ are NaN: twice as fast as isfinite, and no sum that might overflow.
        if values.dtype.kind == "f" and not math.isfinite(np.vdot(values, np.zeros(values.shape, values.dtype))):
            a, b, *place = np.argwhere(~np.isfinite(values))[0].tolist()
            number = f" at position {place}" if place else ""
            fault = Unfit(f"the {what} {values[(a, b, *place)]}{number}; it must be finite")
            raise self._fault(handles[a], b, fault)

    def _fault(self, handle: int, b: int, fault: Unfit) -> PuzzleboxError:
        """What one environment gave that its spaces do not allow."""
        taken = self.taken[handle]
        when = f"in its step {taken}" if taken else "in its reset"
        return PuzzleboxError(f"{self.name} (environment {b}) gave {when} {fault}")

    def call(self, method: str, handles: list[int], values: np.ndarray) -> tuple[np.ndarray, ...]:
        """`reset`, `step` or `forget`; whatever an environment raises becomes a PuzzleboxError of one line."""
        try:
            return getattr(self, method)(handles, values)
        except PuzzleboxError:
            raise
        except (Exception, SystemExit) as fault:
            reason = f"{type(fault).__name__}: {' '.join(str(fault).split())}"
            raise PuzzleboxError(f"{self.name} failed in {method}: {reason} ({where_raised(fault)})") from fault

    def forget(self, handles: list[int], values: np.ndarray | None = None) -> tuple[()]:
        """Closes the environments of these slices; ``values`` is not used (`call` gives it to every method)."""
        for handle in handles:
            self.taken.pop(handle, None)
            for env in self.slices.pop(handle, []):
                env.close()
        return ()

    def close(self) -> None:
        """Closes all environments."""
        self.forget(list(self.slices))


def _number(reward: Any) -> float:
    """A reward as a number; raises `Unfit`."""
    try:
        return float(reward)
    except (TypeError, ValueError):
        raise Unfit(f"the reward {reward!r}; it must be a number") from None


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
