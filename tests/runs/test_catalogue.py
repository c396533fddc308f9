"""The names there are, as data and below each other."""

import pytest

from puzzlebox.errors import UsageError
from puzzlebox.runs.catalogue import list_names, summary_lines


def test_one_kind_or_all():
    names = list_names()
    assert list(names) == ["envs", "algorithms", "tasks", "models"]
    assert list_names("tasks") == {"tasks": names["tasks"]}
    assert {"grid/robot", "tic_tac_toe", "gym:…"} <= set(names["envs"])
    assert names["algorithms"]["ppo"] and names["tasks"]["copy"]
    with pytest.raises(UsageError, match="unknown kind 'task'; did you mean tasks"):
        list_names("task")


def test_a_name_and_what_it_is():
    shown = summary_lines({"envs": ["grid/toy", "minatar:…"], "models": {"new": "a small one"}})
    assert shown[:2] == ["envs", "  grid/toy"] and shown[3:] == ["models", "  new                     a small one"]
    assert shown[2].startswith("  minatar:…               an Atari game")
