"""Our racer for language models: the program of ``puzzlebox train``, and `generate`."""

from __future__ import annotations

from pathlib import Path

import jax
from benchmarks.race import Row, serve

from puzzlebox.acting.generate import generate
from puzzlebox.runs.build import build, load_model
from puzzlebox.runs.configure import configure
from puzzlebox.scale import backend


def decoding(settings: Row, folder: Path):
    model = load_model(str(folder / "model"))
    prompt = model.encode(" time" * settings["prompt"])
    keys = iter(jax.random.split(jax.random.key(0), 1000))

    def work() -> int:
        trajectory = generate(
            model.decoder, [prompt] * settings["rows"], next(keys), max_tokens=settings["tokens"], stop_ids=()
        )
        return int(trajectory.mask.sum())

    return work


def training(settings: Row, folder: Path):
    task, rows = settings["task"], settings["rows"]
    env, values = f"{folder}/{task}.jsonl", {"model": str(folder / "model"), "steps": 1000}
    if task == "grpo":
        env += f",reward={folder}/reward.py:score"
        values |= {"num_prompts": rows // settings["group"], "group_size": settings["group"]}
        values |= {"max_tokens": settings["tokens"]}
    elif task == "sft":
        values |= {"batch_size": rows, "packing": False}
    else:
        values |= {"batch_size": rows}
    agents = build(configure(task, env, 1, 0, values))
    state = agents.start()

    def work() -> int:
        nonlocal state
        state, _ = agents.advance(agents.swept, state, settings["steps"])
        jax.block_until_ready(state)
        return settings["steps"] * rows

    return work


def prepare(settings: Row):
    backend.prepare(language=True)
    folder = Path(settings["folder"])
    work = decoding(settings, folder) if settings["task"] == "decode" else training(settings, folder)
    work()
    return work, {"version": backend.versions()["jax"]}


if __name__ == "__main__":
    serve(prepare)
