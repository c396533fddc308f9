"""The guard over the memory of the tests: it fails a run that takes too much, and frees what JAX compiled."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import worker_memory

SUITE = """
import numpy as np

def test_of_400_megabytes():
    assert np.ones(50_000_000).sum() == 50_000_000
"""


@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_a_run_fails_whose_worker_passes_the_limit(workers, tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["worker_memory"]')
    (tmp_path / "test_large.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmemory_limit = 0.4\n")
    helpers = str(Path(worker_memory.__file__).parent)
    environment = os.environ | {"PYTHONPATH": helpers, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "xdist.plugin", *workers]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout + run.stderr
    # on Linux a process begins with the peak of the one that started it, so the number says nothing here
    assert "1 passed" in run.stdout and f"peak of memory: {'gw0' if workers else 'tests'} " in run.stdout
    assert "took more than the 0.4 GB" in run.stdout


def test_a_worker_that_has_grown_forgets_programs_once(monkeypatch):
    program = jax.jit(lambda x: x + 1)
    program(1.0)
    monkeypatch.setattr(worker_memory, "kept", 0.0)
    monkeypatch.setattr(worker_memory, "ENOUGH", 1e12)
    worker_memory.pytest_runtest_logfinish()
    assert program._cache_size() == 1  # there is room
    monkeypatch.setattr(worker_memory, "ENOUGH", 0.0)
    monkeypatch.setattr(worker_memory, "ROOM", 0.0)
    worker_memory.pytest_runtest_logfinish()
    assert program._cache_size() == 0
    monkeypatch.setattr(worker_memory, "ROOM", 1e9)
    program(1.0)
    worker_memory.pytest_runtest_logfinish()
    assert program._cache_size() == 1  # what is left is not the programs'
    assert 1e8 < worker_memory.resident() <= 1.01 * worker_memory.peak()
