"""The table of all algorithms: same start, same seeds, written to disk, and nothing trained twice."""

import json

import pytest

from puzzlebox.errors import UsageError
from puzzlebox.runs.directory import Run
from puzzlebox.studies import league

TINY = "new,layers=1,width=16,heads=2,kv_heads=2,hidden=16,context=64"
SMALL = {"steps": 1, "num_prompts": 2, "group_size": 2, "batch_size": 2}


def test_a_league_of_two(tmp_path, monkeypatch):
    def make(run=tmp_path, **options):
        return league.league(
            "tiny",
            model=TINY,
            algorithms=["grpo", "sft"],
            seeds=2,
            run=run,
            episodes=2,
            hyperparameters=options,
            quiet=True,
        )

    table = make(**SMALL)
    assert [row["algorithm"] for row in table["rows"]] == ["start", "grpo", "sft"]
    assert json.loads((tmp_path / "table.json").read_text())["rows"] == table["rows"]
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[2].startswith("| algorithm | accuracy") and len(lines) == 4 + 3
    assert (tmp_path / "accuracy.png").stat().st_size > 1000
    for name in ("grpo", "sft"):
        config = Run.open(tmp_path / name).config
        assert config["hyperparameters"]["model"] == TINY and config["seeds"] == 2 and config["steps"] == 1
    monkeypatch.setattr(league, "train", None)  # everything is there already
    assert make(**SMALL)["rows"][1]["accuracy"] == table["rows"][1]["accuracy"]
    with pytest.raises(UsageError, match="was made with steps 1, not 2"):
        make(**{**SMALL, "steps": 2})
    with pytest.raises(UsageError, match="another group_size"):
        make(**{**SMALL, "group_size": 3})


@pytest.mark.parametrize(
    ("task", "algorithms", "options", "message"),
    [
        ("CartPole-v1", ["grpo"], {}, "no language task"),
        ("tiny", ["ppo"], {}, "ppo trains no language model"),
        ("tiny", ["grp"], {}, "did you mean grpo"),
        ("tiny", [], {}, "algorithms is empty"),
        ("tiny", ["grpo"], {"group_sise": 3}, "did you mean group_size"),
        ("tiny", ["grpo"], {"group_size": 1}, "group_size is 1"),
    ],
)
def test_wrong_requests_come_before_training(tmp_path, task, algorithms, options, message):
    with pytest.raises(UsageError, match=message):
        league.league(task, model=TINY, algorithms=algorithms, run=tmp_path / "run", hyperparameters=options)
    assert not (tmp_path / "run").exists()
