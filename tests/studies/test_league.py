"""The table of all algorithms: same start, same seeds, written to disk, and nothing trained twice."""

import json
import re

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


def test_a_person_reads_the_table():
    shares = {"accuracy": 0.25, "accuracy_ci": [0.2, 0.3]}
    trained = shares | {"win_rate": 0.75, "win_rate_ci": [0.7, 0.8], "seconds": 12.4}
    rows = [{"algorithm": "start"} | shares, {"algorithm": "grpo"} | trained]
    table = {"task": "tiny", "problems": 2, "seeds": 1, "rows": rows, "run": "runs/league", "pictures": ["a.png"]}
    *drawn, file, picture = league.summary_lines(table)
    assert (file, picture) == ("runs/league/table.md", "a.png")
    assert "tiny: 2 held-out problems, 1 seed" in drawn[0]
    cells = [re.findall(r"[\w.%–]+", line) for line in drawn]
    assert ["start", "25.0%", "20.0–30.0%"] in cells
    assert ["grpo", "25.0%", "20.0–30.0%", "75.0%", "70.0–80.0%", "12"] in cells


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
