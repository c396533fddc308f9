"""The metrics of a run as a table, read back by Python's csv and by pyarrow."""

import csv
import json
import sys

import pytest

from puzzlebox import export
from puzzlebox.cli import main


@pytest.fixture
def run(tmp_path):
    """Two seeds of two learning rates; one value of one agent was not measured at the first point."""
    path = tmp_path / "run"
    path.mkdir()
    agents = [{"seed": seed, "learning_rate": rate} for rate in (1e-4, 0.5) for seed in (7, 8)]
    config = {"format": 1, "algorithm": "ppo", "env": "CartPole-v1", "sweep": {"learning_rate": [1e-4, 0.5]}}
    (path / "config.json").write_text(json.dumps(config | {"agents": agents}))
    points = [
        {"steps": 128, "seconds": 1.5, "loss": [1, 2.5, None, 4]},
        {"steps": 256, "seconds": 2.5, "loss": [5.0, 6.0, 7.0, 8.0]},
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    return path


def test_csv_has_a_number_a_row(run, capsys):
    assert main(["export", str(run), "--to", "csv"]) == 0
    assert f"{run / 'metrics.csv'}: metrics.csv" in capsys.readouterr().out
    with (run / "metrics.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["run", "seed", "learning_rate", "step", "metric", "value"]
    assert len(rows) == 2 * 2 * 4  # points × metrics × agents
    assert rows[0] == [str(run), "7", "0.0001", "128", "seconds", "1.5"]
    losses = {(row[1], row[2], row[3]): row[5] for row in rows if row[4] == "loss"}
    assert (
        losses["8", "0.0001", "128"] == "2.5" and losses["7", "0.5", "128"] == "" and losses["8", "0.5", "256"] == "8.0"
    )


def test_parquet_has_the_same_rows_with_types(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert export(str(run), "parquet", tmp_path / "new" / "table.parquet")["files"] == ["table.parquet"]
    table = parquet.read_table(tmp_path / "new" / "table.parquet")
    assert dict(zip(table.column_names, map(str, table.schema.types), strict=True)) == {
        "run": "string",
        "seed": "int64",
        "learning_rate": "double",
        "step": "int64",
        "metric": "string",
        "value": "double",
    }
    losses = [row["value"] for row in table.to_pylist() if row["metric"] == "loss"]
    assert losses == [1.0, 2.5, None, 4.0, 5.0, 6.0, 7.0, 8.0]


def test_what_cannot_be_exported_as_a_table(run, tmp_path, capsys, monkeypatch):
    def refused(*argv):
        assert main(["export", *map(str, argv)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "there is no run directory nowhere" in refused("nowhere", "--to", "csv")
    (tmp_path / "here.csv").touch()
    assert "here.csv exists already; choose another --out" in refused(
        run, "--to", "csv", "--out", tmp_path / "here.csv"
    )
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pyarrow is not installed; get it with: pip install 'puzzlebox[data]'" in refused(run, "--to", "parquet")
    (run / "metrics.jsonl").write_text("")
    assert "has logged nothing yet" in refused(run, "--to", "csv")
    assert not [path for path in run.iterdir() if path.suffix in (".csv", ".parquet")]
