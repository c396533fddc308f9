"""Puzzlebox's commands as processes of their own, to be killed, and what they leave behind, to be compared."""

import json
import subprocess
import sys
import time

import numpy as np
from safetensors.numpy import load_file

from puzzlebox.runs import checkpoint
from puzzlebox.runs.directory import Run


def puzzlebox(*arguments):
    """The command as a process that has just begun."""
    command = [sys.executable, "-m", "puzzlebox", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """What the process printed as JSON once it has ended, and ended well."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "leaked" not in err  # nanobind's words where a simulator is still open at the end
    return json.loads(out)


def wait_for_points(process, path, points):
    """Returns when the run has logged so many points, or has ended."""
    while process.poll() is None:
        if (path / "config.json").exists() and len(Run.open(path).metrics()) >= points:
            return
        time.sleep(0.005)


def curve(path):
    """The logged rows but for their times."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in Run.open(path).metrics()]


def assert_same_weights(actual, expected):
    """The last checkpoints of two runs agree bit for bit."""
    actual, expected = (load_file(checkpoint.list_checkpoints(run / "checkpoints")[-1]) for run in (actual, expected))
    assert actual.keys() == expected.keys()
    for leaf, value in expected.items():
        np.testing.assert_array_equal(actual[leaf], value, err_msg=leaf)
