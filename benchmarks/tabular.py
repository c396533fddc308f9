"""Q updates per second: ours against the loops one writes first, in one run.

    python benchmarks/tabular.py [--seconds 2] [--json]

Plain loops (one agent, ε 0.1, step size 0.1, one update per step):
  gymnasium   Q-learning on gymnasium.make("FrozenLake-v1") with a NumPy table
  numpy       Q-learning on the robot's 5×5 grid written in Python, with a NumPy table
  lists       the same without NumPy: lists and the standard library's random numbers
Ours: the same algorithm on the same world, with agents (seeds) and worlds per agent as axes of one program. Each figure
is the best of several timed repeats, so that other programs on the machine matter less.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator

import gymnasium
import jax
import numpy as np

from puzzlebox.algorithms.tabular.q_learning import QLearning
from puzzlebox.envs import make
from puzzlebox.runs.agents import Agents
from puzzlebox.scale import backend

EPSILON, STEP_SIZE, DISCOUNT = 0.1, 0.1, 0.99
ROWS = ("....G", ".##H.", ".....", ".#.#.", ".....")
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
SHAPES = ((1, 1), (1, 8), (1, 64), (2, 64), (10, 8), (128, 1), (128, 8))  # agents, worlds per agent
CHUNK = 20_000


def gymnasium_loop() -> Iterator[None]:
    env = gymnasium.make("FrozenLake-v1")
    rng = np.random.default_rng(0)
    q = np.zeros((16, 4))
    state, _ = env.reset(seed=0)
    while True:
        for _ in range(CHUNK):
            action = int(rng.integers(4)) if rng.random() < EPSILON else int(np.argmax(q[state]))
            following, reward, terminated, truncated, _ = env.step(action)
            target = reward + DISCOUNT * (not terminated) * np.max(q[following])
            q[state, action] += STEP_SIZE * (target - q[state, action])
            state = env.reset()[0] if terminated or truncated else following
        yield


def move(cell: tuple[int, int], action: int) -> tuple[tuple[int, int], float, bool]:
    """One step of the robot's grid."""
    row, column = cell[0] + MOVES[action][0], cell[1] + MOVES[action][1]
    if not (0 <= row < 5 and 0 <= column < 5) or ROWS[row][column] == "#":
        row, column = cell
    kind = ROWS[row][column]
    return (row, column), {"G": 100.0, "H": -50.0}.get(kind, -1.0), kind in "GH"


FREE = [(r, c) for r in range(5) for c in range(5) if ROWS[r][c] == "."]


def numpy_loop() -> Iterator[None]:
    rng = np.random.default_rng(0)
    q = np.zeros((5, 5, 4))
    cell = FREE[0]
    while True:
        for _ in range(CHUNK):
            action = int(rng.integers(4)) if rng.random() < EPSILON else int(np.argmax(q[cell]))
            following, reward, terminated = move(cell, action)
            target = reward + DISCOUNT * (not terminated) * np.max(q[following])
            q[cell][action] += STEP_SIZE * (target - q[cell][action])
            cell = FREE[int(rng.integers(len(FREE)))] if terminated else following
        yield


def lists_loop() -> Iterator[None]:
    rng = random.Random(0)
    q = {(r, c): [0.0] * 4 for r in range(5) for c in range(5)}
    cell = FREE[0]
    while True:
        for _ in range(CHUNK):
            values = q[cell]
            action = rng.randrange(4) if rng.random() < EPSILON else values.index(max(values))
            following, reward, terminated = move(cell, action)
            target = reward + (0.0 if terminated else DISCOUNT * max(q[following]))
            values[action] += STEP_SIZE * (target - values[action])
            cell = rng.choice(FREE) if terminated else following
        yield


def plain(loop: Callable[[], Iterator[None]], seconds: float) -> float:
    running = loop()
    return fastest(lambda: next(running), CHUNK, seconds)


def ours(env: str, agents: int, worlds: int, seconds: float) -> float:
    """Updates per second of all agents together."""
    algorithm = QLearning(
        make(env),
        num_envs=worlds,
        learning_rate=STEP_SIZE,
        learning_rate_decay=0.0,
        discount=DISCOUNT,
        epsilon_start=EPSILON,
        epsilon_end=EPSILON,
    )
    program = Agents(algorithm, list(range(agents)), {})
    state = program.start()
    updates = agents * algorithm.iteration_steps
    iterations = max(1, 1_000_000 // updates)

    def advance() -> None:
        nonlocal state
        state, metrics = program.advance(program.swept, state, np.int32(iterations))
        jax.block_until_ready((state, metrics))

    return fastest(advance, updates * iterations, seconds)


def fastest(work: Callable[[], object], updates: int, seconds: float) -> float:
    """The best rate of repeats that fill ``seconds``, after one that warms up or compiles."""
    work()
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        work()
        best = max(best, updates / (time.perf_counter() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    backend.prepare()
    loops = {"gymnasium": gymnasium_loop, "numpy": numpy_loop, "lists": lists_loop}
    slow = {name: plain(loop, arguments.seconds) for name, loop in loops.items()}
    rows = []
    for env, rivals in (("gym:FrozenLake-v1", ["gymnasium"]), ("grid/robot", ["numpy", "lists"]), ("gym:Taxi-v4", [])):
        for agents, worlds in SHAPES:
            rate = ours(env, agents, worlds, arguments.seconds)
            times = {name: round(rate / slow[name], 1) for name in rivals}
            rows.append({"env": env, "agents": agents, "worlds": worlds, "updates_per_second": round(rate)} | times)
    report = {"hardware": backend.hardware(), "plain": {n: round(r) for n, r in slow.items()}, "ours": rows}
    if arguments.json:
        print(json.dumps(report))
        return
    for name, rate in report["plain"].items():
        print(f"plain loop, {name:<10} {rate:>12,} updates/s")
    for row in rows:
        times = ", ".join(f"{row[name]:g} × {name}" for name in loops if name in row)
        size = f"{row['agents']:>4} agents × {row['worlds']:>2} worlds"
        print(f"{row['env']:<18} {size} {row['updates_per_second']:>12,} updates/s  {times}")


if __name__ == "__main__":
    main()
