"""A run that is stopped, or finds the disk full, keeps what it has; killed runs are in tests/learning."""

import os
import signal
import subprocess
import sys

from killed_runs import finish, puzzlebox, wait_for_points
from puzzlebox.runs import checkpoint
from puzzlebox.runs.directory import Run


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
