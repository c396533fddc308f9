"""A killed run continues bit for bit: real processes, real SIGKILL, at random moments."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from killed_runs import assert_same_weights, curve, finish, puzzlebox, wait_for_points
from puzzlebox.run import checkpoint
from puzzlebox.run.directory import Run

# large enough to be killed several times in the middle, small enough for a test
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


def test_ctrl_c_saves_and_says_how_to_resume(tmp_path):
    path = tmp_path / "run"
    process = train("ppo", path)
    wait_for_points(process, path, 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert f"continue with: puzzlebox resume {path}" in err
    stopped_at = Run.open(path).metrics()[-1]["steps"]
    assert int(checkpoint.list_checkpoints(path / "checkpoints")[-1].stem) == stopped_at
    figures = finish(puzzlebox("resume", path, "--json"))
    assert figures["steps"] == Run.open(path).metrics()[-1]["steps"] > stopped_at


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


def test_a_full_disk_keeps_what_was_saved(tmp_path):
    """The system refuses files above 24 kB: the checkpoint fails in one line and leaves no half-written file."""
    path = tmp_path / "run"
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (24_000, 24_000));"
        "from puzzlebox.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = ["train", "ppo", "probe/one-action", "--steps", "2000", "--run", str(path)]
    environment = os.environ | {"PUZZLEBOX_CACHE": "off"}
    done = subprocess.run(
        [sys.executable, "-c", limited, *command], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 1
    assert "cannot write the checkpoint" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((path / "checkpoints").iterdir()) == []
    assert Run.open(path).metrics()
