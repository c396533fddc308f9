"""Several programs against each other on a noisy machine: every one is prepared first, then they run in turns.

Each racer is a process of its own (peers have their own interpreter). It gets its settings as one JSON argument,
builds, compiles and warms up, says so, and then does the same piece of work each time it is asked (a library with
a loop of its own may time itself, without what it sets up before). All racers take
their turn in every round; a figure is the median over rounds, a ratio the median of the rounds' ratios.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Row = dict[str, Any]


def serve(prepare: Callable[[Row], tuple[Callable[[], Any], Row]]) -> None:
    """The racer's side: ``prepare(settings)`` gives the work (returning how many steps it did) and facts about it."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    work, facts = prepare(json.loads(sys.argv[1]))
    print(json.dumps(facts), file=out, flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        done = work()
        steps, seconds = done if isinstance(done, tuple) else (done, time.perf_counter() - began)
        print(json.dumps({"steps": steps, "seconds": seconds}), file=out, flush=True)


class Racer:
    """A racer's process; ``module`` is run by ``python`` with ``settings``."""

    def __init__(self, name: str, module: str, settings: Row, python: str = sys.executable, threads: int = 0):
        self.name = name
        env = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
        self.process = subprocess.Popen(
            [python, "-m", f"benchmarks.{module}", json.dumps(settings)],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._reply()
        self.speeds: list[float] = []

    def turn(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        reply = self._reply()
        self.speeds.append(reply["steps"] / reply["seconds"])

    def _reply(self) -> Row:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self.process.wait()}; what it said is above")
        return json.loads(line)

    def close(self) -> None:
        self.process.communicate()


def race(settings: Row, racers: list[Racer], rounds: int, goals: dict[str, float]) -> list[Row]:
    """One row per racer; the first racer is ours. ``goals``: how many times a peer's speed ours should reach."""
    for _ in range(rounds):
        for racer in racers:
            racer.turn()
    ours = racers[0]
    rows = []
    for racer in racers:
        ratio = statistics.median(a / b for a, b in zip(ours.speeds, racer.speeds, strict=True))
        row = {
            "task": settings["task"],
            "name": racer.name,
            "steps_per_second": figures(statistics.median(racer.speeds)),
            "slowest": figures(min(racer.speeds)),
            "fastest": figures(max(racer.speeds)),
            "ours_over_this": round(ratio, 2),
            "goal": next((goal for peer, goal in goals.items() if racer.name == peer), None),
        }
        rows.append(row | racer.facts)
        racer.close()
    return rows


def figures(speed: float) -> float:
    """Whole numbers, of slow things three digits."""
    return round(speed) if speed >= 100 else float(f"{speed:.3g}")


PEERS = {"stable-baselines3": "peers_sb3", "plain PyTorch loop": "peers_loop", "rejax": "peers_rejax"}


def contest(settings: Row, steps: dict[str, int], rounds: int, goals: dict[str, float]) -> list[Row]:
    """Ours against the peers named in ``steps``, each doing so many steps per turn with the same ``settings``."""
    racers = [Racer("puzzlebox", "ours", settings | {"steps": steps["puzzlebox"]})]
    python = peer_python()
    for name, module in PEERS.items():
        if python and name in steps:
            told = settings | {"steps": steps[name]}
            racers.append(Racer(name, module, told, python) if name == "rejax" else best_threads(name, told, python))
    return race(settings, racers, rounds, goals)


def best_threads(name: str, settings: Row, python: str) -> Racer:
    """A peer that uses PyTorch, with one thread or two, whichever was faster in a trial."""
    trial = {}
    for threads in (1, 2):
        racer = Racer(name, PEERS[name], settings | {"threads": threads}, python, threads)
        racer.turn()
        trial[racer.speeds.pop()] = racer
    best = trial.pop(max(trial))
    for racer in trial.values():
        racer.close()
    return best


def peer_python() -> str | None:
    """The interpreter that has the peers installed."""
    python = os.environ.get("PEER_PYTHON") or None
    if python is None:
        print("PEER_PYTHON is not set: measuring ours alone", file=sys.stderr)
    return python
