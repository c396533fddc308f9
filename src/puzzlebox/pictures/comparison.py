"""``puzzlebox compare``: does one run beat another? In a sentence, and in pictures of curves and scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from puzzlebox.evaluation.compare import compare_runs
from puzzlebox.pictures.plots import plot_runs, plot_scores


def compare(
    runs: Sequence[str | Path], *, sampled: bool = False, out: str | Path | None = None, seed: int = 0
) -> dict[str, Any]:
    """What `compare_runs` says of the runs, played greedily or ``sampled``.

    Their curves and the intervals of their scores are drawn into the folder ``out``, where one is given, and listed as
    ``pictures``.
    """
    result = compare_runs(runs, mode="sampled" if sampled else "greedy", seed=seed)
    if out is None:
        return result
    curves = plot_runs(runs, Path(out) / "curves.png")
    scores = plot_scores(runs, Path(out) / "scores.png", result["mode"])
    return result | {"pictures": [str(path) for path in (*curves, *scores)]}


def summary_lines(result: dict[str, Any]) -> list[str]:
    """The verdict for a person."""
    return [result["sentence"], *result.get("pictures", [])]
