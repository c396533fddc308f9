"""Killed runs of PPO and DQN continue bit for bit, and simulators say what restarts: real processes, real SIGKILL."""

import json
import os
import random
import signal
import time

import pytest

from killed_runs import assert_same_weights, curve, finish, puzzlebox, wait_for_points

# large enough to be killed several times in the middle
TRAIN = {
    "ppo": ["CartPole-v1", "--steps", "200000", "--hidden", "16", "--num-envs", "4"],
    "dqn": ["CartPole-v1", "--steps", "30000", "--hidden", "16", "--num-updates", "8", "--capacity", "4000"],
}


def train(name, path):
    flags = ["--seeds", "2", "--seed", "7", "--episodes", "2", "--checkpoint-every", "0", "--run", path, "--json"]
    return puzzlebox("train", name, *TRAIN[name], *flags)


@pytest.mark.parametrize("name", TRAIN)
def test_killed_at_random_moments_it_ends_where_an_unbroken_run_ends(name, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = finish(train(name, whole))
    generator = random.Random(os.getpid())
    moments = sorted(generator.sample(range(1, 95), 2))
    print("killed after points", moments)
    process = train(name, broken)
    for moment in moments:
        wait_for_points(process, broken, moment)
        time.sleep(generator.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = puzzlebox("resume", broken, "--checkpoint-every", "0", "--json")
    resumed = finish(process)
    assert len(curve(whole)) >= 95
    assert curve(broken) == curve(whole)
    assert_same_weights(broken, whole)
    assert resumed["greedy"]["returns"] == unbroken["greedy"]["returns"]


@pytest.mark.parametrize(
    "request_",
    [
        ["ppo", "gym:CartPole-v1", "--steps", "16000", "--hidden", "16"],
        ["monte_carlo", "gym:FrozenLake-v1,host=true", "--steps", "60000"],
    ],
    ids=lambda words: words[0],
)
def test_a_simulator_says_what_restarts(request_, tmp_path):
    path = tmp_path / "run"
    flags = ["--episodes", "2", "--checkpoint-every", "0", "--run", path]
    process = puzzlebox("train", *request_, *flags)
    wait_for_points(process, path, 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resumed = puzzlebox("resume", path, "--json")
    out, err = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, err
    assert "all worlds start new episodes" in json.loads(out)["notes"][0]
    assert "all worlds start new episodes" in err
