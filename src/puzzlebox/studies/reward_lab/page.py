"""The page of the reward lab: four films, one table of what each term paid, and the curves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from puzzlebox.envs.six_terms import TERMS
from puzzlebox.pictures import figures, plots
from puzzlebox.pictures.film import Film
from puzzlebox.pictures.page import Check, Equation, Picture, Row, Section, Table, Tile, write_page
from puzzlebox.pictures.plots import save_curves
from puzzlebox.runs.directory import Run
from puzzlebox.scale import backend

EQUATION = Equation(
    "reward = w₁·Δx + w₂·|Δx| + w₃·new area + w₄·Δrings − w₅·life lost + w₆·level complete",
    "Per step: way to the right (to the left it is taken off), way in any direction, parts of the level seen for the "
    "first time, rings won or lost, lives lost, the goal.",
)
NAMES = {
    "progress": "progress",
    "speed": "speed bonus",
    "new_area": "new area",
    "rings": "rings",
    "life_lost": "life lost",
    "complete": "level complete",
}


def write(
    path: Path, summary: dict[str, Any], runs: dict[str, Run], films: dict[str, Film], checks: list[Check], began: float
) -> Path:
    """Writes films, curves and ``index.html``; returns its path."""
    settings = summary["settings"]
    pictures = [picture(path, name, film, settings[name]) for name, film in films.items()]
    curves = [
        curve for name, run in runs.items() for curve in plots.read_curves(run, "furthest_x", settings[name]["title"])
    ]
    figure = figures.learning_curve(curves, "How far they get", "tiles right of the start")
    blocks: list[str | Equation | Picture | Row | Table] = [
        "An agent learns to run and jump through a level. It starts at the foot of a wall that takes a run-up: first "
        "to the left, then back. What it learns depends on nothing but the six weights of its reward.",
        EQUATION,
        Row(pictures[:2]),
        Row(pictures[2:]),
        weights_table(settings),
        paid_table(settings),
        save_curves(
            figure,
            path / "curves",
            "How far the agents of each setting get while they learn",
            "The furthest place of an episode while training. Line: interquartile mean over seeds; band: 95% interval.",
        ),
    ]
    seconds = time.perf_counter() - began
    quick = " --quick" if summary["quick"] else ""
    section = Section(
        "lab",
        "Four weightings, four behaviours",
        blocks,
        checks,
        f"{summary['algorithm'].upper()} on {summary['world']}, {summary['seeds']} seeds per setting, "
        f"{summary['steps']:,} steps each, all {len(settings) * summary['seeds']} agents in one compiled program; "
        f"figures are of {summary['episodes']} greedy episodes per agent, films of the agent in the middle.",
        [
            f"puzzlebox reward-lab{quick} --seeds {summary['seeds']}",
            *(f"puzzlebox watch {run.path}" for run in runs.values()),
        ],
        seconds,
    )
    tiles = [
        Tile(f"{setting['completion_rate']:.0%}", f"completed: {setting['title'].lower()}")
        for setting in settings.values()
    ]
    foot = [
        backend.described(),
        f"Made by puzzlebox reward-lab{quick} on {time.strftime('%Y-%m-%d at %H:%M')}; figures as data: summary.json.",
    ]
    lead = ["The reward says what is wanted. The agent does what is paid."]
    return write_page(path / "index.html", "What is paid is what is done", lead, tiles, [section], foot)


def picture(path: Path, name: str, film: Film, setting: dict[str, Any]) -> Picture:
    """The film of a setting, saved, with what it shows."""
    gif, still = film.save(path / f"{name}.gif"), film.still(path / f"{name}.png")
    caption = f"{setting['title']}. It {setting['claim'].partition(':')[0]}. {setting['why']}"
    return Picture(gif, setting["title"], caption, still, width=380)


def weights_table(settings: dict[str, Any]) -> Table:
    rows = [[s["title"], *(f"{s['weights'][term]:g}" for term in TERMS)] for s in settings.values()]
    return Table(["setting", *NAMES.values()], rows, "The weights.")


def paid_table(settings: dict[str, Any]) -> Table:
    """What the greedy episodes of every setting brought."""
    rows = [
        [
            s["title"],
            *(f"{s['paid'][term]:.2f} ({s['shares'][term]:.0%})" for term in TERMS),
            f"{s['completion_rate']:.0%}",
            f"{s['furthest_x']:.1f}",
            f"{s['turns']:.0f}",
        ]
        for s in settings.values()
    ]
    head = ["what each term paid", *NAMES.values(), "completed", "furthest, tiles", "turns"]
    return Table(head, rows, "Means per episode, and the share of each term in all that was paid or taken.")
