"""Our racer: the very program that ``puzzlebox train`` runs for one seed, without its logging and checkpoints."""

from __future__ import annotations

import time

import jax
import numpy as np
from benchmarks.race import Row, serve

from puzzlebox.runs.build import build
from puzzlebox.runs.configure import configure
from puzzlebox.scale import backend

NEVER_ENDING = 10_000_000  # steps of the whole training, for the schedules


def prepare(settings: Row):
    backend.prepare()
    values = dict(settings["hyperparameters"])
    agents = build(configure(settings["algorithm"], settings["env"], 1, 0, values | {"steps": NEVER_ENDING}))
    began = time.perf_counter()
    state = agents.start()
    advance = agents.advance.lower(agents.swept, state, np.int32(1)).compile()
    compile_seconds = time.perf_counter() - began
    per_iteration = agents.algorithm.iteration_steps
    iterations = -(-settings["steps"] // per_iteration)

    def work() -> int:
        nonlocal state
        state, metrics = advance(agents.swept, state, np.int32(iterations))
        jax.block_until_ready((state, metrics))
        return iterations * per_iteration

    work()
    return work, {"compile_seconds": round(compile_seconds, 1), "version": backend.versions()["jax"]}


if __name__ == "__main__":
    serve(prepare)
