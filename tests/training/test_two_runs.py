"""Two runs in one process: one after the other they know nothing of each other, at the same time they may not share
simulators."""

import dataclasses
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import gymnasium
import jax
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.host import HostVector, simulation, tell
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.runs import build
from puzzlebox.runs.directory import Run
from puzzlebox.training.train import resume, train

SHORT = {"steps": 64, "num_envs": 2, "num_steps": 16, "episodes": 2, "quiet": True}


class Lamps:
    """Simulators whose every reset is an incident; they know which slices are open, and can be told to fail."""

    def __init__(self):
        self.open, self.resets, self.broken = set(), 0, False

    def call(self, method, handles, rows):
        if self.broken:
            raise PuzzleboxError("the lamp broke")
        if method == "reset":
            self.open |= set(handles)
            self.resets += 1
            tell("the lamp flickered")
            return (np.zeros(rows.shape, np.int32),)
        zeros = np.zeros(rows.shape[:2])
        ended = zeros == 0
        return zeros.astype(np.int32), zeros.astype(np.float32), ended, ~ended, zeros.astype(np.int32)

    def forget(self, handles):
        self.open -= set(handles)


@dataclasses.dataclass(frozen=True)
class Lamp:
    """A world of one state whose episodes are one step long."""

    lamps: Lamps = dataclasses.field(default_factory=Lamps, hash=False, compare=False)
    observation_space = action_space = gymnasium.spaces.Discrete(2)
    measures = ()

    def vectorize(self, num_envs):
        return HostVector(self, num_envs)

    def simulators(self):
        return self.lamps

    def single(self, render_mode=None): ...

    def close(self): ...


@pytest.fixture
def lamp(monkeypatch):
    world = Lamp()
    monkeypatch.setattr(build, "make", lambda name: world if name == "lamp" else make(name))
    return world


def test_one_run_after_the_other_sees_nothing_of_it(lamp, tmp_path):
    pure = train("q_learning", "grid/toy", run=tmp_path / "before", **SHORT)
    first = train("q_learning", "lamp", run=tmp_path / "first", **SHORT)
    assert first["notes"] == [f"the lamp flickered ({lamp.lamps.resets}×)"] and not lamp.lamps.open
    lamp.lamps.broken = True
    with pytest.raises(PuzzleboxError, match=r"^the lamp broke$"):
        train("q_learning", "lamp", run=tmp_path / "broken", **SHORT)
    lamp.lamps.broken, lamp.lamps.resets = False, 0
    after = train("q_learning", "grid/toy", run=tmp_path / "after", **SHORT)
    assert pure["notes"] == after["notes"] == [] and pure["return_mean"] == after["return_mean"]
    again = train("q_learning", "lamp", run=tmp_path / "again", **SHORT)
    assert again["notes"] == [f"the lamp flickered ({lamp.lamps.resets}×)"] and not lamp.lamps.open


def test_a_resumed_run_starts_its_simulators_again_and_says_so(lamp, tmp_path):
    train("q_learning", "lamp", run=tmp_path / "run", **SHORT)
    config = json.loads((tmp_path / "run/config.json").read_text())
    (tmp_path / "run/config.json").write_text(json.dumps(config | {"steps": 128}))  # as if it had been stopped
    figures = resume(tmp_path / "run", quiet=True)
    assert figures["steps"] == 128 and not lamp.lamps.open
    assert figures["notes"][0] == (
        "lamp runs in a simulator whose inner state cannot be saved; it was started again: all worlds start new "
        "episodes at step 64; networks, optimiser, replay and random numbers continue"
    )
    assert len(figures["notes"]) == 2 and "flickered" in figures["notes"][1]
    assert resume(tmp_path / "run", quiet=True)["notes"][0].startswith("the lamp flickered")  # finished: evaluated only


def test_runs_in_pure_worlds_may_go_on_at_the_same_time(tmp_path):
    def run(name):
        train("q_learning", "grid/toy", run=tmp_path / name, seeds=2, **SHORT)
        return [{k: v for k, v in row.items() if k != "seconds"} for row in Run.open(tmp_path / name).metrics()]

    alone = run("alone")
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, ("left", "right"))) == [alone, alone]


def test_a_second_run_in_simulators_at_the_same_time_is_refused(lamp, tmp_path):
    caught = []

    def second():
        try:
            train("q_learning", "lamp", run=tmp_path / "second", **SHORT)
        except UsageError as error:
            caught.append(str(error))

    with simulation(lamp), simulation(lamp):  # of one thread, one inside the other
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    (message,) = caught
    assert message.startswith("another run in this process plays in simulators") and "\n" not in message
    assert not (tmp_path / "second").exists()
    second()
    assert len(caught) == 1 and (tmp_path / "second").exists()


def test_worlds_of_an_inner_simulation_are_closed_with_it_and_its_incidents_told_outside(lamp):
    with simulation(lamp) as outer:
        _reset(lamp)
        kept = set(lamp.lamps.open)
        with simulation(lamp):
            _reset(lamp)
            assert len(lamp.lamps.open) == 2
        assert lamp.lamps.open == kept
        assert outer.told() == ["the lamp flickered (2×)"] and outer.told() == []
    assert not lamp.lamps.open


def _reset(world):
    jax.block_until_ready(world.vectorize(2).reset(jax.random.key(0)))
