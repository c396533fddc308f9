"""The metrics of a run as a tidy table for other programs: one number a row, as CSV or Parquet.

Columns: run, seed, one for every swept hyper-parameter, step, metric, value. What is measured once for all agents (the
seconds) stands in a row of each; a value that was not measured is empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from puzzlebox.errors import UsageError, missing_extra
from puzzlebox.runs.directory import Run, write_text

TABLES = ("csv", "parquet")


def save_table(run: Run, to: str, place: Path) -> int:
    """Writes the table as ``place``; returns the number of its rows.

    Raises UsageError for a run that has logged nothing yet, and where pyarrow is missing for Parquet.
    """
    columns, rows = column_names(run), list(table_rows(run))
    if not rows:
        raise UsageError(f"{run.path} has logged nothing yet; train it first: puzzlebox resume {run.path}")
    if to == "parquet":
        _save_parquet(columns, rows, place)
    else:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, text.getvalue())
    return len(rows)


def column_names(run: Run) -> list[str]:
    return ["run", "seed", *run.config["sweep"], "step", "metric", "value"]


def table_rows(run: Run) -> Iterator[list[Any]]:
    """The rows in the order of `column_names`, point after point."""
    agents = run.config["agents"]
    swept = [[agent[name] for name in run.config["sweep"]] for agent in agents]
    for point in run.metrics():
        for metric in (name for name in point if name != "steps"):
            values = point[metric] if isinstance(point[metric], list) else [point[metric]] * len(agents)
            for agent, settings, value in zip(agents, swept, values, strict=True):
                yield [str(run.path), agent["seed"], *settings, point["steps"], metric, value]


def _save_parquet(columns: list[str], rows: list[list[Any]], place: Path) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise missing_extra("pyarrow", "data") from None
    table = {name: list(column) for name, column in zip(columns, zip(*rows, strict=True), strict=True)}
    table["value"] = [None if value is None else float(value) for value in table["value"]]  # counts are whole numbers
    place.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(table), place)
