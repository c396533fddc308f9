"""A run that is stopped, or finds the disk full, keeps what it has; killed runs are in tests/learning."""

import os
import signal
import subprocess
import sys

import pytest

from killed_runs import finish, puzzlebox, wait_for_points
from puzzlebox.errors import UsageError
from puzzlebox.runs import checkpoint
from puzzlebox.runs.directory import Run
from puzzlebox.training.train import resume, train


def test_ctrl_c_saves_and_says_how_to_resume(tmp_path):
    path = tmp_path / "run"
    process = puzzlebox("train", "ppo", "CartPole-v1", "--steps", "200000", "--hidden", "16", "--run", path)
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


def test_a_run_goes_on_for_longer_and_is_then_what_it_would_have_been(tmp_path):
    """Q-learning whose ε and step size do not fall: the longer run is the one that was longer from the start."""
    settings = {"num_envs": 2, "epsilon_start": 0.1, "epsilon_end": 0.1, "learning_rate_decay": 0.0}
    settings |= {"episodes": 2, "quiet": True, "seeds": 2}
    whole = train("q_learning", "grid/maze", run=tmp_path / "whole", steps=4096, **settings)
    train("q_learning", "grid/maze", run=tmp_path / "run", steps=2048, **settings)
    with pytest.raises(UsageError, match=r"steps is 2048, but .* has 2048 already"):
        resume(tmp_path / "run", steps=2048, quiet=True)
    longer = resume(tmp_path / "run", steps=4096, quiet=True)
    assert longer["steps"] == whole["steps"] == Run.open(tmp_path / "run").config["steps"]
    assert longer["greedy"] == whole["greedy"]


def test_steps_that_are_no_whole_number_of_iterations_end_a_training(tmp_path):
    """A config that somebody changed by hand: what is left is less than an iteration."""
    train("q_learning", "grid/maze", run=tmp_path / "run", steps=2048, num_envs=2, episodes=2, quiet=True)
    run = Run.open(tmp_path / "run")
    run.note(steps=run.config["steps"] + 1)
    assert resume(tmp_path / "run", quiet=True)["steps"] == 2048
