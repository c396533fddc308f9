"""Killed runs of GRPO and PPO continue bit for bit: real processes, real SIGKILL, at random moments."""

import json
import os
import random
import signal
import time

import numpy as np
import pytest

from killed_runs import assert_same_weights, curve, finish, puzzlebox, wait_for_points

MODEL = "new,layers=2,width=32,heads=2,kv_heads=2,hidden=64,context=64"
STEPS = 60
TRAIN = {
    "grpo": ["--num-prompts", "2", "--group-size", "4", "--kl-coef", "0.05", "--num-epochs", "2"],
    "ppo_lm": ["--num-prompts", "8", "--num-epochs", "2", "--kl-target", "1.0", "--kl-horizon", "100"],
}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Prompts of different lengths, and a reward that random bytes earn in different amounts."""
    folder = tmp_path_factory.mktemp("task")
    rows = [{"prompt": "x" * (1 + i % 5) + f"{i}="} for i in range(30)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "mine.py").write_text(
        "def score(completions, **columns):\n    return [len(set(t)) for t in completions]\n"
    )
    return f"{folder / 'rows.jsonl'},reward={folder / 'mine.py'}:score,max_tokens=8"


def train(name, task, path):
    flags = ["--model", MODEL, "--steps", STEPS, "--learning-rate", "1e-2", "--seeds", "2", "--seed", "7"]
    flags += ["--episodes", "4", "--checkpoint-every", "0", "--run", path, "--json"]
    return puzzlebox("train", name, task, *TRAIN[name], *flags)


@pytest.mark.parametrize("name", TRAIN)
def test_killed_at_a_random_moment_it_ends_where_an_unbroken_run_ends(name, task, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = finish(train(name, task, whole))
    generator = random.Random(f"{os.getpid()} {name}")
    process, moment = train(name, task, broken), generator.randrange(1, STEPS - 10)
    print("killed after point", moment)
    wait_for_points(process, broken, moment)
    time.sleep(generator.uniform(0, 0.05))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    resumed = finish(puzzlebox("resume", broken, "--checkpoint-every", "0", "--json"))
    rows = curve(whole)
    assert [row["steps"] for row in rows] == list(range(1, STEPS + 1))
    assert np.ptp([row["reward"] for row in rows], axis=0).min() > 0.5  # it is learning something
    assert curve(broken) == rows
    assert_same_weights(broken, whole)
    assert resumed["return_mean"] == unbroken["return_mean"]
    assert resumed["examples"] == unbroken["examples"]
