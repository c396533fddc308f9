"""Training that a clock ends: it stops when the time is over, is saved whole, and is finished when it is resumed."""

import math

import pytest

from puzzlebox.errors import UsageError
from puzzlebox.runs.directory import Run
from puzzlebox.training import pace, train


def test_it_stops_in_time_and_is_then_finished(tmp_path):
    path = tmp_path / "run"
    figures = train.train("q_learning", "grid/toy", run=path, minutes=0.01, steps=10**9, episodes=2, quiet=True)
    assert 0 < figures["steps"] < 10**9
    assert 0.6 <= figures["seconds"] < 6
    assert figures["notes"][-1].startswith("stopped after 0.0 minutes of training, at step")
    points = len(Run.open(path).metrics())
    resumed = train.resume(path, quiet=True)
    assert (resumed["steps"], len(Run.open(path).metrics())) == (figures["steps"], points)


def test_steps_that_end_first_end_it(tmp_path):
    figures = train.train(
        "q_learning", "grid/toy", run=tmp_path / "run", minutes=60, steps=2_048, episodes=2, quiet=True
    )
    assert figures["steps"] == 2_048
    assert figures["notes"] == []


def test_the_pace():
    """1,000 steps took 2 seconds: of 100 s a point takes 1 s, at the end no more than what is left."""
    assert pace.paced(1_000, 2.0, 100.0, 2.0) == 500
    assert pace.paced(1_000, 2.0, 100.0, 99.5) == 250
    assert pace.paced(0, 0.0, 100.0, 0.0) == 0


def test_time_for_people():
    assert pace.duration(4.0, 2, 30) == "2 s per step, about 60 s left"
    assert pace.duration(4.0, 2, 600) == "2 s per step, about 20 min left"


@pytest.mark.parametrize("minutes", [0, -1, math.inf, math.nan])
def test_bad_minutes(minutes, tmp_path):
    with pytest.raises(UsageError, match="it must be above 0"):
        train.train("q_learning", "grid/toy", run=tmp_path / "run", minutes=minutes)
