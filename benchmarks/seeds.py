"""What 32 seeds of PPO on CartPole cost beside one: the training alone, and the whole command as a user waits for it.

Default hyper-parameters, 100,000 steps. The training is timed without compilation, both programs in turns; the
command is ``puzzlebox train`` with an empty cache of compiled programs: imports, compilation, training, evaluation,
plots.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from benchmarks.race import Row

from puzzlebox.runs.build import build
from puzzlebox.runs.configure import configure
from puzzlebox.scale import backend

STEPS = 100_000
MANY = 32
ROUNDS = 5


def training(seeds: int):
    """A function that trains ``seeds`` agents from the start and returns the seconds."""
    agents = build(configure("ppo", "CartPole-v1", seeds, 0, {"steps": STEPS}))
    iterations = np.int32(STEPS // agents.algorithm.iteration_steps)
    advance = agents.advance.lower(agents.swept, agents.start(), iterations).compile()

    def once() -> float:
        state = jax.block_until_ready(agents.start())
        began = time.perf_counter()
        jax.block_until_ready(advance(agents.swept, state, iterations))
        return time.perf_counter() - began

    once()
    return once


def command(seeds: int) -> tuple[float, Row]:
    """Seconds of the whole command, and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "ppo", "CartPole-v1", "--steps", str(STEPS), "--seeds", str(seeds), "--run", f"{folder}/run"]
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "puzzlebox", *words, "--json"],
            env=os.environ | {"PUZZLEBOX_CACHE": f"{folder}/cache"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - began, json.loads(done.stdout)


def main() -> None:
    backend.prepare()
    one, many = training(1), training(MANY)
    times = [(one(), many()) for _ in range(ROUNDS)]
    rows = [row("training", times)]
    commands = [(command(1), command(MANY)) for _ in range(2)]
    rows.append(row("whole command", [(single[0], several[0]) for single, several in commands]))
    compiling = {seeds: commands[-1][i][1]["compile_seconds"] for i, seeds in enumerate((1, MANY))}
    returns = commands[-1][1][1]["return_iqm"]
    settings = {"steps": STEPS, "hyperparameters": "defaults", "devices": jax.device_count()}
    print(json.dumps({"settings": settings, "compile_seconds": compiling, "return_iqm_of_32": returns, "rows": rows}))


def row(what: str, times: list[tuple[float, float]]) -> Row:
    return {
        "what": what,
        "seconds_1_seed": round(statistics.median(one for one, _ in times), 2),
        f"seconds_{MANY}_seeds": round(statistics.median(many for _, many in times), 2),
        "times_one_seed": round(statistics.median(many / one for one, many in times), 1),
        "goal": 12,
        "rounds": len(times),
    }


if __name__ == "__main__":
    main()
