"""Console emulators: one process each, in slices of ``B`` per agent. One that dies is started again, and reported."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import Any

import numpy as np

from puzzlebox.envs import retro_worker
from puzzlebox.envs.host import end_worker, start_worker, tell
from puzzlebox.envs.retro_worker import REPLY, REQUEST
from puzzlebox.errors import PuzzleboxError

MAX_DEATHS = 3  # of one emulator in a row, without a step between


class Emulator:
    """One process. After `send`, `receive` gives its `REPLY` record, or None if the process is dead."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.process: Any = None
        self.start()

    def start(self) -> None:
        """Starts the process."""
        self.process = start_worker(retro_worker.__file__, json.dumps(self.settings))

    def send(self, letter: bytes, number: int = 0) -> None:
        """Sends a request, see `retro_worker`."""
        with suppress(OSError):  # the process is dead, which `receive` tells
            self.process.stdin.write(REQUEST.pack(letter, number))
            self.process.stdin.flush()

    def receive(self) -> np.void | None:
        """The reply to the last request, None from a dead process; raises PuzzleboxError for a fault it reports."""
        data = self.process.stdout.read(REPLY.itemsize)
        if len(data) < REPLY.itemsize:
            return None
        reply = np.frombuffer(data, REPLY)[0]
        if reply["fault"]:
            raise PuzzleboxError(f"retro:{self.settings['game']} failed: {reply['fault'].decode(errors='replace')}")
        return reply

    def picture(self) -> np.ndarray:
        """The console's own screen in colour, uint8 [height, width, 3]."""
        self.send(b"p")
        reply = self.receive()
        if reply is None:
            raise PuzzleboxError(f"the emulator of retro:{self.settings['game']} died ({self.death()})")
        shape = tuple(reply["picture"])
        return np.frombuffer(self.process.stdout.read(int(np.prod(shape))), np.uint8).reshape(shape)

    def restart(self, seed: int) -> np.void:
        """A new process in the place of a dead one, and its first reply."""
        for _ in range(MAX_DEATHS):
            self.close()
            self.start()
            self.send(b"r", seed)
            reply = self.receive()
            if reply is not None:
                return reply
        raise PuzzleboxError(
            f"the emulator of retro:{self.settings['game']} died {MAX_DEATHS} times before its first step "
            f"({self.death()}); is there enough memory?"
        )

    def death(self) -> str:
        """How the process ended, in words; waits for its end."""
        status = self.process.wait()
        return f"killed by signal {-status}" if status < 0 else f"exit status {status}"

    def close(self) -> None:
        """Ends the process."""
        end_worker(self.process, seconds=2)


class Slice:
    """The ``B`` emulators of one agent, and their last replies."""

    def __init__(self, emulators: list[Emulator], seeds: np.ndarray) -> None:
        self.emulators = emulators
        self.random = np.random.default_rng(seeds)  # draws the seeds of emulators that replace dead ones
        for emulator, seed in zip(emulators, seeds.astype(np.int32), strict=True):
            emulator.send(b"r", int(seed))

    def begin(self) -> np.ndarray:
        """The first replies, `REPLY` [B]."""
        self.replies = np.zeros(len(self.emulators), REPLY)
        for i, emulator in enumerate(self.emulators):
            reply = emulator.receive()
            self.replies[i] = emulator.restart(self._seed()) if reply is None else reply
        return self.replies

    def send(self, actions: np.ndarray) -> None:
        """Lets all emulators play a step with ``actions`` int [B]; `receive` waits for them."""
        for emulator, action in zip(self.emulators, actions, strict=True):
            emulator.send(b"s", int(action))

    def receive(self) -> tuple[np.ndarray, np.ndarray]:
        """Replies `REPLY` [B], and which emulators were started again, bool [B]: their episodes are cut."""
        restarted = np.zeros(len(self.emulators), bool)
        for i, emulator in enumerate(self.emulators):
            reply = emulator.receive()
            if reply is None:
                restarted[i] = True
                name = f"retro:{emulator.settings['game']}"
                tell(f"an emulator of {name} died ({emulator.death()}) and was started again; its episode was cut")
                # The episode ends as a truncation at the last screen that was seen; then a new one begins.
                last = self.replies[i].copy()
                fresh = emulator.restart(self._seed())
                ended = last["terminated"] or last["truncated"]
                reply = fresh.copy()
                reply["seen"] = last["following"]
                reply["variables"] = last["start"] if ended else last["variables"]
                reply["truncated"] = True
            self.replies[i] = reply
        return self.replies, restarted

    def _seed(self) -> int:
        return int(self.random.integers(2**31))


class Slices:
    """All emulators of one kind. Emulators of a forgotten slice are kept for the next one: starting takes long."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.name, self.settings = name, settings
        self.slices: dict[int, Slice] = {}
        self.idle: list[Emulator] = []
        self.lock = threading.Lock()

    def reset(self, handles: list[int], seeds: np.ndarray) -> np.ndarray:
        """New slices, seeded with ``seeds`` uint32 [A, B]; the first replies, `REPLY` [A, B]."""
        with self.lock:
            for handle, row in zip(handles, seeds, strict=True):
                self.slices[handle] = Slice([self._emulator() for _ in row], row)
            return np.stack([self.slices[handle].begin() for handle in handles])

    def step(self, handles: list[int], actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One step by ``actions`` [A, B]: replies `REPLY`, and restarts bool, [A, B]. All emulators play at once."""
        with self.lock:
            pieces = [self.slices.get(handle) for handle in handles]
            if None in pieces:
                raise PuzzleboxError(
                    f"the {self.name} worlds of this state are gone (closed, or of another process); reset them"
                )
            for piece, row in zip(pieces, actions, strict=True):
                piece.send(row)  # type: ignore[union-attr]
            replies, restarted = zip(*(piece.receive() for piece in pieces), strict=True)  # type: ignore[union-attr]
            return np.stack(replies), np.stack(restarted)

    def forget(self, handles: list[int]) -> None:
        """Keeps the emulators of these slices for later ones."""
        with self.lock:
            for handle in handles:
                piece = self.slices.pop(handle, None)
                self.idle += piece.emulators if piece is not None else []

    def close(self) -> None:
        """Ends all processes."""
        self.forget(list(self.slices))
        for emulator in self.idle:
            emulator.close()
        self.idle.clear()

    def _emulator(self) -> Emulator:
        """One that was kept and is still alive, or a new one."""
        while self.idle:
            emulator = self.idle.pop()
            if emulator.process.poll() is None:
                return emulator
            emulator.close()
        return Emulator(self.settings)
