"""Trainings in simulators that are killed: the run with `kill -9`, and one of its emulators."""

import json
import os
import signal
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from killed_runs import finish, puzzlebox, wait_for_points
from puzzlebox.runs import checkpoint
from puzzlebox.runs.directory import Run

SMALL = ["--hidden", "16", "--num-envs", "2", "--num-steps", "16", "--episodes", "2", "--checkpoint-every", "0"]


def test_a_killed_run_continues_with_replay_and_counters_whole(tmp_path):
    pytest.importorskip("ale_py")
    path = tmp_path / "run"
    flags = ["--capacity", "2048", "--learning-starts", "64", "--batch-size", "4", "--num-updates", "2"]
    process = puzzlebox("train", "dqn", "atari:pong,max_frames=400", "--steps", "1600", *flags, *SMALL, "--run", path)
    wait_for_points(process, path, 10)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    stopped_at = int(checkpoint.list_checkpoints(path / "checkpoints")[-1].stem)
    assert 0 < stopped_at < 1600
    figures = finish(puzzlebox("resume", path, "--json"))
    assert "was started again: all worlds start new episodes" in figures["notes"][0]
    assert figures["steps"] == 1600 and figures["frames"] == 6400
    assert [row["steps"] for row in Run.open(path).metrics()] == list(range(32, 1601, 32))
    state = load_file(checkpoint.list_checkpoints(path / "checkpoints")[-1])
    added = {name: int(value.reshape(-1)[0]) for name, value in state.items() if "added" in name}
    assert added and set(added.values()) <= {1600, 1600 // 2}  # in steps, or in rows of two worlds
    config = json.loads((path / "config.json").read_text())
    assert config["protocol"]["training"]["reward_clipping"] and figures["protocol"]["reward_clipping"] is False


def test_a_run_goes_on_when_an_emulator_is_killed(tmp_path):
    pytest.importorskip("stable_retro")
    path = tmp_path / "run"
    world = "retro:Airstriker-Genesis-v0,max_steps=60"
    process = puzzlebox("train", "ppo", world, "--steps", "1600", *SMALL, "--num-epochs", "1", "--run", path, "--json")
    wait_for_points(process, path, 5)
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    emulators = [int(child) for task in children for child in task.read_text().split()]
    assert len(emulators) >= 2
    os.kill(emulators[0], signal.SIGKILL)
    figures = finish(process)
    assert figures["steps"] == 1600
    assert any("died (killed by signal 9) and was started again" in note for note in figures["notes"])
    rows = [row["emulators_restarted"][0] for row in Run.open(path).metrics()]
    assert sum(row for row in rows if row) > 0
