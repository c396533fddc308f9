"""Figures drawn from arrays: learning curves, sweeps, score intervals, regret.

Every function returns a Matplotlib figure; `plots` reads run directories and writes files. All intervals are 95%
bootstrap intervals. Colours are Okabe & Ito's, which colour-blind people can tell apart. No pyplot, no windows.
Source of the forms: Agarwal et al. 2021.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from puzzlebox.stats import intervals as statistics

if TYPE_CHECKING:  # importing Matplotlib takes half a second, which training need not wait for
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B4C9A", "#4D4D4D"]
DASHES = ["-", "--", ":", "-."]  # a second sign, where there are more curves than colours
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
STYLE: Any = {
    "savefig.dpi": 160,
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "pdf.fonttype": 42,  # letters stay letters, which can be searched and copied
    "svg.hashsalt": "puzzlebox",  # the same picture is the same file
}
CURVE_RESAMPLES = 2000
LEGEND_BELOW = 4  # more curves than this have their legend beside the axes
LEGEND_WIDTH = 66  # letters in a line of a legend below; pages make a figure as narrow as 5.6 inches
UNDATED: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # the same picture is the same file
DRAWING = threading.RLock()


class Curve(NamedTuple):
    """One line with its band: ``steps [P]``, ``scores [P, N]`` (points × seeds, NaN where nothing was measured yet)."""

    label: str
    steps: np.ndarray
    scores: np.ndarray


def learning_curve(
    curves: list[Curve],
    title: str,
    measure: str = "episode return",
    thin: bool = False,
    unit: str = "environment steps",
    log: bool = False,
    note: str = "",
) -> Figure:
    """IQM over seeds against steps with its interval; ``thin`` adds a line for every seed, ``log`` a logarithmic axis.

    ``note`` is added to the line below the title.
    """
    return _curves(curves, title, measure, unit, statistics.iqm, thin, log, note)


def regret_curves(regret: dict[str, np.ndarray], title: str = "Regret") -> Figure:
    """Mean cumulative regret against steps with its interval; ``regret`` maps a label to ``[N, T]`` (seeds × steps)."""
    curves = []
    for label, values in regret.items():
        points = np.unique(np.linspace(0, values.shape[1] - 1, 150).astype(int))
        curves.append(Curve(label, points + 1.0, np.asarray(values, np.float64)[:, points].T))
    return _curves(curves, title, "cumulative regret", "steps", statistics.mean, False)


def sweep(lines: dict[str, list[tuple[float, np.ndarray]]], name: str, title: str) -> Figure:
    """Score against a swept value: per label (value, scores ``[N]``) pairs; IQM, interval, and every seed as a dot."""
    values = np.array(sorted({value for pairs in lines.values() for value, _ in pairs}))
    logarithmic = values[0] > 0 and values[-1] / values[0] >= 8
    with style():
        figure, axes = _figure(title, "interquartile mean and 95% interval; a small mark is one seed")
        for i, (label, pairs) in enumerate(lines.items()):
            pairs = sorted(pairs, key=lambda pair: pair[0])
            _sweep_line(axes, label, np.array([value for value, _ in pairs]), [scores for _, scores in pairs], i)
        axes.set_xscale("log" if logarithmic else "linear")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        axes.set_xlabel(name)
        axes.set_ylabel("evaluation return")
        _legend(figure, axes)
    return figure


def score_intervals(scores: dict[str, np.ndarray], title: str) -> Figure:
    """Median, IQM and mean of every contestant with their intervals; ``scores`` maps a label to ``[N]``."""
    from matplotlib.figure import Figure

    panels = {"median": statistics.median, "interquartile mean": statistics.iqm, "mean": statistics.mean}
    with style():
        figure = Figure(figsize=(9.0, 1.5 + 0.45 * len(scores)), layout="constrained")
        figure.suptitle(shortened(title), x=0.01, ha="left", weight="bold", size=STYLE["axes.titlesize"])
        row = figure.subplots(1, 3, sharex=True, sharey=True, gridspec_kw={"wspace": 0.08})
        for axes, (name, statistic) in zip(row, panels.items(), strict=True):
            for i, values in enumerate(scores.values()):
                low, high = statistics.bootstrap_interval(values, statistic)
                colour = COLOURS[i % len(COLOURS)]
                axes.barh(i, high - low, left=low, height=0.56, color=colour, alpha=0.35, lw=0)
                axes.vlines(float(statistic(np.asarray(values))), i - 0.28, i + 0.28, color=colour, lw=2.5)
            axes.set_title(name, weight="normal", size=STYLE["font.size"])
            axes.grid(axis="y", visible=False)
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0, labelcolor="#222222")
            axes.locator_params(axis="x", nbins=5)
            axes.use_sticky_edges = False
            axes.margins(x=0.08)
        row[0].set_yticks(range(len(scores)), list(scores))
        row[0].set_ylim(len(scores) - 0.5, -0.5)
        figure.supxlabel("evaluation return, 95% intervals", size=STYLE["font.size"], color="#333333")
    return figure


def save(figure: Figure, path: Path) -> list[Path]:
    """Writes ``path``.png and ``path``.svg; returns the two paths."""
    return [save_as(figure, path.parent / f"{path.name}.{kind}") for kind in ("png", "svg")]


def save_as(figure: Figure, file: Path) -> Path:
    """Writes one picture in the format of its suffix: .png, .svg or .pdf."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with style():
        figure.savefig(file, metadata=UNDATED.get(file.suffix))
    return file


def _curves(
    curves: list[Curve],
    title: str,
    measure: str,
    x_label: str,
    statistic: statistics.Statistic,
    thin: bool,
    log: bool = False,
    more: str = "",
) -> Figure:
    from matplotlib.ticker import EngFormatter

    counts = sorted({curve.scores.shape[1] for curve in curves})
    seeds = " or ".join(map(str, counts)) + (" seed" if counts == [1] else " seeds")
    kind = "interquartile mean" if statistic is statistics.iqm else "mean"
    note = "1 seed" if counts == [1] else f"{kind} of {seeds}; band: 95% interval"
    with style():
        figure, axes = _figure(title, "; ".join(filter(None, (note, more))))
        for i, curve in enumerate(curves):
            _curve(axes, curve, i, statistic, thin)
        axes.margins(x=0.02)
        axes.set_xlim(left=0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(measure)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if log:
            axes.set_yscale("log")
        _legend(figure, axes)
    return figure


def _curve(axes: Axes, curve: Curve, i: int, statistic: statistics.Statistic, thin: bool) -> None:
    colour = COLOURS[i % len(COLOURS)]
    reported = ~np.isnan(curve.scores).all(axis=0)  # a seed that never finished an episode has nothing to draw
    scores = curve.scores[:, reported]
    complete = ~np.isnan(scores).any(axis=1)
    if not reported.any() or not complete.any():
        return
    steps, scores = curve.steps[complete], scores[complete]
    if thin:
        axes.plot(steps, scores, color=colour, lw=0.7, alpha=0.35)
    if scores.shape[1] > 1:
        bands = [statistics.bootstrap_interval(point, statistic, CURVE_RESAMPLES) for point in scores]
        low, high = np.array(bands).T
        fill = 0.14 if i < len(COLOURS) else 0.06  # where bands lie on each other, their edges tell whose is whose
        axes.fill_between(steps, low, high, facecolor=(colour, fill), edgecolor=(colour, 0.7), lw=0.8)
    style = DASHES[i // len(COLOURS) % len(DASHES)]
    axes.plot(steps, statistic(scores), style, color=colour, label=curve.label, zorder=3)


def _sweep_line(axes: Axes, label: str, x: np.ndarray, scores: list[np.ndarray], i: int) -> None:
    """One line of a sweep. Equal values stand at the same place: marks and widths of bars tell the lines apart."""
    colour, mark = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
    centre = np.array([statistics.iqm(column) for column in scores])
    bounds = np.array([statistics.bootstrap_interval(column) for column in scores]).T
    for place, column in zip(x, scores, strict=True):
        axes.plot(np.full(len(column), place), column, mark, color=colour, ms=4, alpha=0.3, mew=0, zorder=1.5)
    axes.errorbar(
        x, centre, np.abs(bounds - centre), fmt=f"-{mark}", color=colour, ms=6, capsize=3 + 2 * i, lw=1.8, label=label
    )


def _figure(title: str, note: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.set_title(shortened(title), pad=24)
    axes.annotate(note, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points", color="#666666", size=9.5)
    return figure, axes


def shortened(title: str, length: int = 72) -> str:
    """A title without its middle where a long path would leave no room for the picture."""
    return title if len(title) <= length else f"{title[: length // 2]}…{title[-(length // 2 - 1) :]}"


def _legend(figure: Figure, axes: Axes) -> None:
    """Names the curves outside the axes, where no legend can lie on a curve."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > LEGEND_BELOW:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)
        figure.set_size_inches(9.6, 4.8)
    elif labels:
        columns = max(1, min(len(labels), LEGEND_WIDTH // (max(map(len, labels)) + 6)))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9.5)


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib with our settings. They are those of the whole process, so one thread draws at a time."""
    import matplotlib

    with DRAWING, matplotlib.rc_context(STYLE):
        yield
