"""Run directories: what may become one, and what is read from a broken one."""

import json

import pytest

from puzzlebox.errors import UsageError
from puzzlebox.runs.directory import Run


def test_a_run_is_created_opened_and_read(tmp_path):
    run = Run.create(tmp_path / "a" / "b", {"algorithm": "ppo"})
    run.append_metrics({"steps": 1, "seconds": 0.1, "episode_return": [1.5, float("nan")]})
    run.append_metrics({"steps": 2, "seconds": 0.2, "episode_return": [2.5, 3.0]})
    again = Run.open(tmp_path / "a" / "b")
    assert again.config == {"format": 1, "algorithm": "ppo"}
    assert again.metrics()[0]["episode_return"] == [1.5, None]
    run.cut_metrics(1)
    assert [row["steps"] for row in again.metrics()] == [1]


def test_a_line_cut_off_by_sudden_death_is_left_out(tmp_path):
    run = Run.create(tmp_path / "r", {})
    run.append_metrics({"steps": 1})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"steps": 2, "epis')
    assert run.metrics() == [{"steps": 1}]


def test_a_directory_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds something else \(thesis.txt\)"):
        Run.create(tmp_path, {})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_is_never_overwritten(tmp_path):
    Run.create(tmp_path / "r", {})
    with pytest.raises(UsageError, match="holds a run already; continue it with: puzzlebox resume"):
        Run.create(tmp_path / "r", {})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no run directory"),
        (lambda path: path.mkdir(), "has no config.json"),
        (lambda path: (path.mkdir(), (path / "config.json").write_text("{")), "not readable as JSON"),
        (lambda path: (path.mkdir(), (path / "config.json").write_text(json.dumps({"format": 99}))), "this version"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path, make, message):
    make(tmp_path / "r")
    with pytest.raises(UsageError, match=message):
        Run.open(tmp_path / "r")


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        Run.create(tmp_path / "file", {})
