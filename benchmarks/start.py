"""How long ``puzzlebox train`` takes from the start of the process to the first line with figures on the screen."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

STEPS = 100_000
ROUNDS = 3


def first_figures(cache: str, folder: str, number: int) -> float:
    """Seconds until standard error shows a speed; the command then runs to its end, so that its cache is whole."""
    words = ["train", "ppo", "CartPole-v1", "--steps", str(STEPS), "--run", f"{folder}/run-{number}"]
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "puzzlebox", *words],
        env=os.environ | {"PUZZLEBOX_CACHE": cache},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    seconds = None
    assert process.stderr is not None
    for line in process.stderr:
        if seconds is None and "steps/s" in line:
            seconds = time.perf_counter() - began
    if process.wait() or seconds is None:
        raise SystemExit("puzzlebox train failed, or showed no figures")
    return seconds


def main() -> None:
    cold, warm = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(first_figures(f"{folder}/cache", folder, 0))
            warm.append(first_figures(f"{folder}/cache", folder, 1))
    rows = [
        {
            "cache": cache,
            "seconds": round(statistics.median(times), 1),
            "all": [round(t, 1) for t in times],
            "goal": goal,
        }
        for cache, times, goal in (("cold", cold, 10), ("warm", warm, 4))
    ]
    command = f"puzzlebox train ppo CartPole-v1 --steps {STEPS}"
    print(json.dumps({"settings": {"command": command}, "rounds": ROUNDS, "rows": rows}))


if __name__ == "__main__":
    main()
