"""Pictures of run directories, written as PNG and SVG; `figures` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from puzzlebox.errors import UsageError
from puzzlebox.evaluation.compare import groups, names, read, setting_label
from puzzlebox.pictures import figures
from puzzlebox.pictures.figures import Curve
from puzzlebox.pictures.page import Picture
from puzzlebox.runs.checkpoint import list_checkpoints
from puzzlebox.runs.directory import Run, writing

HEADLINES = ("episode_return", "reward", "loss")  # what a learning curve shows: the first that was logged
SUFFIXES = (".pdf", ".svg", ".png")


def plot(
    runs: Sequence[str | Path],
    metric: str = "",
    *,
    out: str | Path | None = None,
    smooth: int = 1,
    log: bool = False,
    title: str = "",
) -> dict[str, Any]:
    """Draws `plot_run` of every run and, without a ``metric``, `plot_model`; returns the files as ``pictures``.

    With ``out``, a .pdf, .svg or .png, it is one figure with the curves of all runs (and of all swept values).
    ``smooth``: every point is the mean of so many last ones; ``log``: a logarithmic axis of values; ``title``: instead
    of the world's name.

    Raises UsageError for another suffix, runs of different worlds, and values that a logarithmic axis cannot hold.
    """
    if out is not None:
        return {"pictures": [str(plot_together(runs, Path(out), metric, smooth, log, title))]}
    if smooth != 1 or log or title:
        raise UsageError("--smooth, --log and --title are of one figure of all runs; say where it goes: --out FILE.pdf")
    files = [file for run in runs for file in plot_run(run, metric)]
    files += [file for run in runs for file in plot_model(run)] if not metric else []
    return {"pictures": [str(file) for file in files]}


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The files, for a person."""
    return figures["pictures"]


def plot_run(run: str | Path, metric: str = "") -> list[Path]:
    """Draws the learning curve of a run, and its sweep if it has one, into its directory; returns the files.

    ``metric`` is a name in metrics.jsonl; without one it is the return, the reward or the loss.

    Raises UsageError when the run has logged no points of ``metric`` (the message lists what it logged).
    """
    opened = Run.open(run)
    config = opened.config
    title = f"{config['algorithm']} on {config['env']}"
    wanted, metric = metric, metric or headline([opened])
    curves = read_curves(opened, metric)
    figure = figures.learning_curve(curves, title, metric.replace("_", " "), len(curves) == 1, unit(opened))
    files = figures.save(figure, opened.path / (metric.replace("/", "_") if wanted else "learning_curve"))
    if config["sweep"] and (opened.path / "evaluation.json").exists():
        files += figures.save(sweep_figure(opened, title), opened.path / "sweep")
    return files


def plot_model(run: str | Path) -> list[Path]:
    """Draws what a learned model predicts beside what happens, where the run has learned one; returns the files."""
    opened = Run.open(run)
    if opened.config["algorithm"] != "muzero" or not list_checkpoints(opened.checkpoints):
        return []
    from puzzlebox.pictures.predictions import plot_predictions  # it plays, so it needs what training needs

    return plot_predictions(run)


def plot_together(
    runs: Sequence[str | Path], file: Path, metric: str = "", smooth: int = 1, log: bool = False, title: str = ""
) -> Path:
    """Draws the learning curves of several runs into one picture ``file``; returns it. See `plot`."""
    if file.suffix not in SUFFIXES:
        raise UsageError(f"--out is '{file}'; its suffix must be one of {', '.join(SUFFIXES)}")
    if smooth < 1:
        raise UsageError(f"smooth is {smooth}; it must be at least 1")
    opened = [Run.open(run) for run in runs]
    figure = runs_figure(opened, metric or headline(opened), smooth, log, title)
    with writing(file):
        return figures.save_as(figure, file)


def plot_runs(runs: Sequence[str | Path], to: str | Path, metric: str = "") -> list[Path]:
    """Draws the learning curves of several runs into one picture ``to``.png and ``to``.svg; returns the files.

    Raises UsageError for runs of different worlds.
    """
    opened = [Run.open(run) for run in runs]
    return figures.save(runs_figure(opened, metric or headline(opened)), Path(to).with_suffix(""))


def runs_figure(runs: list[Run], metric: str, smooth: int = 1, log: bool = False, title: str = "") -> figures.Figure:
    """The curves of several runs of one world in one figure; see `plot`."""
    worlds = sorted({run.config["env"] for run in runs})
    if len(worlds) != 1:
        raise UsageError(f"the runs have {len(worlds)} worlds ({', '.join(worlds)}); plot runs of one world together")
    curves = [c for run, name in zip(runs, names(runs), strict=True) for c in read_curves(run, metric, name)]
    curves = [curve._replace(scores=smoothed(curve.scores, smooth)) for curve in curves]
    smallest = min(np.nanmin(np.where(np.isnan(curve.scores), np.inf, curve.scores)) for curve in curves)
    if log and smallest <= 0:
        raise UsageError(f"--log needs values above 0, and {metric} goes down to {smallest:g}; leave --log out")
    note = f"mean of the last {smooth} points" if smooth > 1 else ""
    return figures.learning_curve(
        curves, title or worlds[0], metric.replace("_", " "), unit=unit(runs[0]), log=log, note=note
    )


def plot_scores(runs: Sequence[str | Path], to: str | Path, mode: str = "greedy") -> list[Path]:
    """Draws median, IQM and mean of the last evaluation of several runs, with intervals; returns the files."""
    opened = [Run.open(run) for run in runs]
    contestants = [c for run, name in zip(opened, names(opened), strict=True) for c in read(run, name, mode)]
    worlds = " and ".join(sorted({run.config["env"] for run in opened}))
    return figures.save(
        figures.score_intervals({c.label: c.scores for c in contestants}, worlds), Path(to).with_suffix("")
    )


def headline(runs: list[Run]) -> str:
    """The first of `HEADLINES` that every run logged."""
    logged = [set().union(*(row for row in run.metrics())) for run in runs]
    return next((name for name in HEADLINES if all(name in names for names in logged)), HEADLINES[0])


def unit(run: Run) -> str:
    """What the steps of a run are: language models count iterations."""
    return "iterations" if run.family == "language" else "environment steps"


def read_curves(run: Run, metric: str = HEADLINES[0], name: str = "") -> list[Curve]:
    """The curves of a run, one per combination of swept values; a seed without a new value keeps its last one."""
    rows = run.metrics()
    points = [row for row in rows if isinstance(row.get(metric), list)]
    if not points:
        logged = sorted({key for row in rows for key, value in row.items() if isinstance(value, list)})
        raise UsageError(f"{run.path} has no points of '{metric}'; it logged: {', '.join(logged) or 'nothing yet'}")
    steps = np.array([row["steps"] for row in points], np.float64)
    scores = forward_fill(np.array([row[metric] for row in points], np.float64))
    return [
        Curve(", ".join(filter(None, (name, setting_label(setting)))), steps, scores[:, agents])
        for setting, agents in groups(run.config)
    ]


def forward_fill(scores: np.ndarray) -> np.ndarray:
    """``[P, N]`` with every NaN replaced by the last number above it; NaN above the first number stay."""
    rows = np.where(np.isnan(scores), 0, np.arange(len(scores))[:, None])
    return np.take_along_axis(scores, np.maximum.accumulate(rows, axis=0), axis=0)


def smoothed(scores: np.ndarray, width: int) -> np.ndarray:
    """``[P, N]`` with every point the mean of the last ``width`` ones that were measured; NaN stay."""
    windows = [scores[max(0, i + 1 - width) : i + 1] for i in range(len(scores))]
    sums = np.array([np.nansum(window, axis=0) for window in windows])
    counts = np.array([(~np.isnan(window)).sum(axis=0) for window in windows])
    return np.where(np.isnan(scores), np.nan, sums / np.maximum(counts, 1))


def sweep_figure(run: Run, title: str) -> figures.Figure:
    """The last greedy evaluation against the swept parameter with most values; the others make the lines."""
    sweep = run.config["sweep"]
    name = max(sweep, key=lambda n: len(sweep[n]))
    lines: dict[str, list[tuple[float, np.ndarray]]] = {}
    for contestant in read(run, "", "greedy"):
        others = {key: value for key, value in contestant.setting.items() if key != name}
        lines.setdefault(setting_label(others), []).append((contestant.setting[name], contestant.scores))
    return figures.sweep(lines, name.replace("_", " "), title)


def save_curves(figure: Any, file: Path, alt: str, caption: str) -> Picture:
    """Writes a figure small, so that its letters stay readable beside another picture."""
    figure.set_size_inches(5.6, 4.2)
    figures.save(figure, file)
    return Picture(file.with_name(f"{file.name}.svg"), alt, caption)
