"""Where Gymnasium's environments live: numbered slices of them, in this process or in worker processes."""

from __future__ import annotations

import atexit
import pickle
import threading
from collections.abc import Hashable
from contextlib import suppress
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from puzzlebox.envs import gymnasium_worker
from puzzlebox.envs.gymnasium_worker import Slices
from puzzlebox.envs.host import end_worker, start_worker
from puzzlebox.errors import PuzzleboxError, UsageError

_POOLS: dict[Hashable, Pool] = {}
_LOCK = threading.Lock()


def open_pool(kind: Hashable, spec: EnvSpec, options: dict[str, Any], workers: int) -> Pool:
    """The pool of this ``kind`` of environment, made at the first call."""
    with _LOCK:
        if kind not in _POOLS:
            _POOLS[kind] = Pool(spec, options, workers)
        return _POOLS[kind]


def close_pool(kind: Hashable) -> None:
    """Closes the environments and processes of this kind, if there are any."""
    with _LOCK:
        pool = _POOLS.pop(kind, None)
    if pool is not None:
        pool.close()


@atexit.register
def close_all() -> None:
    """Closes every environment and every worker process."""
    for kind in list(_POOLS):
        close_pool(kind)


class Pool:
    """All environments of one kind: in this process, or spread over worker processes."""

    def __init__(self, spec: EnvSpec, options: dict[str, Any], workers: int) -> None:
        self.lock = threading.Lock()
        self.parts: list[Any] = [Worker(spec, options) for _ in range(workers)] or [Slices(spec, options)]

    def call(self, method: str, handles: list[int], rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """`Simulators.call`: ``rows`` [A, B, ...] are cut along B, one piece for each process."""
        with self.lock:
            if isinstance(self.parts[0], Slices):
                return self.parts[0].call(method, handles, rows)
            pieces = np.array_split(rows, len(self.parts), axis=1)
            busy = [(part, piece) for part, piece in zip(self.parts, pieces, strict=True) if piece.shape[1]]
            for part, piece in busy:  # all work at the same time
                part.send((method, handles, piece))
            results = [part.result() for part, _ in busy]
            for result in results:  # only now, so that no reply is left behind in a pipe
                if isinstance(result, PuzzleboxError):
                    raise result
            return tuple(np.concatenate(parts, axis=1) for parts in zip(*results, strict=True))

    def forget(self, handles: list[int]) -> None:
        """Closes the environments of these slices."""
        with self.lock, suppress(PuzzleboxError):  # what a dead process held is gone already
            for part in self.parts:
                if isinstance(part, Slices):
                    part.forget(handles)
                else:
                    part.send(("forget", handles, np.empty(0)))
                    part.result()

    def close(self) -> None:
        """Closes all environments and ends the processes."""
        for part in self.parts:
            part.close()


class Worker:
    """One process that steps environments; it ends by itself when this process does."""

    def __init__(self, spec: EnvSpec, options: dict[str, Any]) -> None:
        self.name = f"gym:{spec.id}"
        self.process = start_worker(gymnasium_worker.__file__)
        try:
            self.send((spec, options))
            fault = self.result()
            if fault is not None:
                raise fault
        except PuzzleboxError:
            self.close()
            raise

    def send(self, request: Any) -> None:
        """Sends ``request``, whose reply `result` reads; raises PuzzleboxError where it cannot be sent."""
        try:
            message = pickle.dumps(request, protocol=5)
        except (pickle.PicklingError, AttributeError, TypeError) as fault:
            raise UsageError(
                f"{self.name} cannot be sent to a worker process ({fault}); "
                "register it with an entry point like 'module:Class', or leave workers out"
            ) from None
        try:
            self.process.stdin.write(message)  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
        except OSError:
            raise self._died() from None

    def result(self) -> Any:
        """The reply to the last request, which may be the PuzzleboxError that it ended with."""
        try:
            return pickle.load(self.process.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError, pickle.UnpicklingError):
            return self._died()

    def _died(self) -> PuzzleboxError:
        return PuzzleboxError(f"a worker process of {self.name} died (exit status {self.process.wait()})")

    def close(self) -> None:
        """Ends the process."""
        end_worker(self.process, seconds=5)
