"""How much memory there is, and that training which cannot have what it needs is refused."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from puzzlebox.cli import main
from puzzlebox.errors import UsageError
from puzzlebox.runs import memory, preflight

KEY = jax.random.key(0)


def program(**sizes):
    return SimpleNamespace(memory_analysis=lambda: SimpleNamespace(**sizes))


def test_a_program_that_cannot_fit_is_refused(monkeypatch):
    compiled = program(
        temp_size_in_bytes=3_000, output_size_in_bytes=2_000, alias_size_in_bytes=1_000, argument_size_in_bytes=7_000
    )
    monkeypatch.setattr(memory, "available", lambda device=None: (4_000, "this machine"))
    assert "takes 4 kB beside the 7 kB" in memory.fits(compiled)
    monkeypatch.setattr(memory, "available", lambda device=None: (7_999, "this machine"))
    with pytest.raises(UsageError, match=r"needs 8 kB beside the 14 kB"):
        memory.fits(compiled, devices=2)
    monkeypatch.setattr(memory, "available", lambda device=None: (3_999, "this machine"))
    with pytest.raises(UsageError, match=r"needs 4 kB .* this machine has 4 kB left; try fewer --seeds"):
        memory.fits(compiled)
    with pytest.raises(UsageError, match=r"an update needs 4 kB .* left; try --batch-size"):
        memory.fits(compiled, "an update", "model and batch", preflight.WAY_OUT)


def test_what_the_agents_hold_is_counted_by_hand(monkeypatch):
    """15 numbers of 4 bytes and 3 random keys of 8."""
    shapes = {"weights": jax.ShapeDtypeStruct((3, 5), np.float32), "keys": jax.random.split(KEY, 3)}
    monkeypatch.setattr(memory, "available", lambda device=None: (84, "this machine"))
    memory.check_state(shapes, 3)
    monkeypatch.setattr(memory, "available", lambda device=None: (83, "this machine"))
    with pytest.raises(UsageError, match=r"of 3 agents take 84 bytes, and this machine has 83 bytes; try fewer"):
        memory.check_state(shapes, 3)


@pytest.mark.parametrize(
    ("free", "flags", "message"),
    [
        (1e6, ["ppo", "CartPole-v1", "--num-envs", "4096", "--steps", "600000"], "an iteration needs"),
        (1e6, ["ppo", "CartPole-v1", "--seeds", "64"], "networks, worlds and memory of 64 agents take"),
        (1e15, ["ppo", "CartPole-v1", "--num-envs", "1000000000", "--steps", "1000000000000"], "can be counted"),
        (4e6, ["alphazero", "tic_tac_toe", "--batch-size", "4096"], "an iteration needs"),
    ],
)
def test_too_much_at_once_is_refused_and_the_directory_stays_free(free, flags, message, tmp_path, capsys, monkeypatch):
    """On a machine with little memory, so that the test takes little of this one."""
    monkeypatch.setattr(memory, "available", lambda device=None: (int(free), "this machine"))
    assert main(["train", *flags, "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error
    assert "try fewer --seeds, or smaller numbers" in error
    assert not (tmp_path / "run").exists()


def test_memory_of_machine_and_container(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable:    64 kB\n")
    assert memory.machine_memory(tmp_path / "meminfo") == 64 * 1024
    assert memory.machine_memory(tmp_path / "none") is None
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.cgroup_memory(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.cgroup_memory(tmp_path) == 300
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 100\n")
    assert memory.cgroup_memory(tmp_path) == 400
