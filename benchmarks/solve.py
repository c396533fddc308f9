"""A slippery grid of a million states, γ 0.99, solved to 1e-6: seconds, beside QuantEcon and mdpsolver.

    PEER_PYTHON=/path/to/python python -m benchmarks.solve [--size 1000] [--json]

Three maps: one goal in a far corner of an open floor; the same with walls and holes strewn about; twenty goals among
walls and holes. Every solver runs in a process of its own on the same arrays. Its seconds are those that a user
waits from arrays in memory to values: conversion to the solver's own form, compilation where it compiles when called
(QuantEcon's numba functions are compiled beforehand), sweeps, and the proof of the error where there is one. All
values are compared with those of a second, tighter solution. Each solver's best of ``ROUNDS`` turns counts, taken in
turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from puzzlebox.algorithms.tabular.ordered_value_iteration import ordered_value_iteration
from puzzlebox.envs.gridworld import GridWorld, read_rows, slippery
from puzzlebox.types import MDP

DISCOUNT, TOLERANCE, ROUNDS, LIMIT = 0.99, 1e-6, 3, 900
OURS = "puzzlebox:ordered_value_iteration"
PEERS = ("quantecon:modified_policy_iteration", "quantecon:value_iteration", "mdpsolver:mpi")
ONCE = ("quantecon:value_iteration", "mdpsolver:mpi")  # slow and never the best: one turn is enough
HERE = Path(__file__).resolve().parent


def maps(size: int) -> dict[str, GridWorld]:
    chance = np.random.default_rng(5).random((size, size))
    cells = np.where(chance < 0.1, "#", np.where(chance < 0.11, "H", "."))
    cells.flat[np.random.default_rng(6).choice(size * size, 20, replace=False)] = "G"
    rows = read_rows("\n".join("".join(row) for row in cells))
    return {
        "open": slippery(size, walls=0.0, holes=0.0),
        "walls and holes": slippery(size),
        "twenty goals": GridWorld(rows, goal_reward=100.0, hole_reward=-50.0, slip=0.2),
    }


def solve_ours(problem: Path, answer: Path) -> None:
    with np.load(problem) as saved:
        tables = dict(saved)
    start = np.full(len(tables["next_state"]), 1 / len(tables["next_state"]))
    mdp = MDP(tables["next_state"], tables["probability"], tables["reward"], tables["terminated"], start)
    found = ordered_value_iteration(mdp, float(tables["discount"]), float(tables["tolerance"]))
    parts = {"seconds": found.seconds, "compile": found.compile_seconds, "conversion": 0.0}
    np.savez(answer, values=found.values, iterations=found.iterations, bound=found.error_bound, **parts)


def turn(solver: str, problem: Path, folder: Path) -> dict[str, Any] | None:
    """One solver's answer, None where it fails or takes too long."""
    answer = folder / "answer.npz"
    if solver == OURS:
        command = [sys.executable, "-m", "benchmarks.solve", "--ours", str(problem), str(answer)]
    else:
        command = [os.environ["PEER_PYTHON"], str(HERE / "solve_peers.py"), solver, str(problem), str(answer)]
    answer.unlink(missing_ok=True)
    try:
        subprocess.run(command, cwd=HERE.parent, stdout=subprocess.DEVNULL, timeout=LIMIT, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{solver}: {error}", file=sys.stderr)
        return None
    with np.load(answer) as saved:
        return dict(saved)


def measure(name: str, env: GridWorld, folder: Path) -> list[dict[str, Any]]:
    mdp, problem = env.mdp(), folder / "problem.npz"
    tables = dict(zip(MDP._fields[:4], mdp[:4], strict=True))
    np.savez(problem, **tables, discount=DISCOUNT, tolerance=TOLERANCE)
    exact = ordered_value_iteration(mdp, DISCOUNT, 1e-9).values
    solvers = [OURS, *(PEERS if os.environ.get("PEER_PYTHON") else ())]
    turns: dict[str, list[dict[str, Any]]] = {solver: [] for solver in solvers}
    for number in range(ROUNDS):
        for solver in solvers:
            done = None if number and solver in ONCE else turn(solver, problem, folder)
            turns[solver] += [done] if done else []
    rows = []
    for solver, answers in turns.items():
        if not answers:
            rows.append({"map": name, "solver": solver, "seconds": None})
            continue
        best = min(answers, key=lambda answer: float(answer["seconds"] + answer["conversion"]))
        rows.append(
            {
                "map": name,
                "solver": solver,
                "seconds": round(float(best["seconds"] + best["conversion"]), 2),
                "of which conversion": round(float(best["conversion"]), 2),
                "of which compilation": round(float(best["compile"]), 2) if "compile" in best else None,
                "sweeps or rounds": int(best["iterations"]) if best["iterations"] >= 0 else None,
                "largest error": float(f"{np.abs(best['values'] - exact).max():.1e}"),
            }
        )
    peers = [row["seconds"] for row in rows[1:] if row["seconds"] is not None and row["largest error"] <= TOLERANCE]
    rows[0]["times faster than the best peer"] = round(min(peers) / rows[0]["seconds"], 1) if peers else None
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1000, help="rows and columns")
    parser.add_argument("--json", action="store_true", help="one JSON object, alone, on standard output")
    parser.add_argument("--ours", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        solve_ours(*arguments.ours)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, env in maps(arguments.size).items():
            rows += measure(name, env, Path(folder))
            print(f"{name}: done", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"states": arguments.size**2, "gamma": DISCOUNT, "tolerance": TOLERANCE, "rows": rows}))
    else:
        for row in rows:
            print(row)


if __name__ == "__main__":
    main()
