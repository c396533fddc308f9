"""The chapters of the tour: each one computes, checks its claims, and says how to repeat it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from puzzlebox.envs import make_tabular
from puzzlebox.pictures import figures, plots
from puzzlebox.pictures.page import Check, Equation, Picture, Row, Table, Tile
from puzzlebox.runs import checkpoint
from puzzlebox.runs.agents import Agents
from puzzlebox.runs.build import build_run
from puzzlebox.runs.directory import Run
from puzzlebox.types import MDP, Layout, State

FREE = ".S"  # the cells of a map that a robot can move from


class Context(NamedTuple):
    """What a chapter gets: a folder of its own, whether to hurry, and a place for lines on the terminal."""

    folder: Path
    quick: bool
    note: Callable[[str], None]


class Chapter(NamedTuple):
    """What a chapter gives: its part of the page, and ``figures`` for ``summary.json``."""

    headline: str
    blocks: list[str | Equation | Picture | Row | Table]
    checks: list[Check]
    protocol: str
    commands: list[str]
    figures: dict[str, Any]
    tiles: list[Tile]


def trained(path: Path) -> tuple[Run, Agents, State]:
    """A finished run with its agents and what they learned, leaves ``[A, ...]``."""
    run = Run.open(path)
    agents = build_run(run)
    assert isinstance(agents, Agents)  # no chapter asks for a language model's
    state, _, _ = checkpoint.load_newest(run.checkpoints, agents.shapes())
    return run, agents, state


def grid(name: str) -> tuple[MDP, Layout]:
    """The exact process of a grid, and its map."""
    world = make_tabular(name)
    assert world.layout is not None
    return world.mdp(), world.layout


def free_cells(rows: tuple[str, ...]) -> np.ndarray:
    """The states a robot can move from; int [F]."""
    return np.flatnonzero(np.isin(list("".join(rows)), list(FREE)))


def command(algorithm: str, env: str, **flags: Any) -> str:
    """The line that trains the same again."""
    words = [f"--{name.replace('_', '-')} {value}" for name, value in flags.items()]
    return " ".join(["puzzlebox train", algorithm, env, *words])


def curve_picture(runs: dict[str, Path], file: Path, title: str, caption: str) -> Picture:
    """The learning curves of runs of one world, with their labels, as an SVG to stand beside another picture."""
    curves = [
        curve for label, path in runs.items() for curve in plots.read_curves(Run.open(path), "episode_return", label)
    ]
    return plots.save_curves(figures.learning_curve(curves, title, "episode return"), file, f"{title}: curves", caption)


def signed(x: float, digits: int = 2) -> str:
    """A number for reading: a real minus sign, no needless zeros."""
    shown = f"{x:.{digits}f}".rstrip("0").rstrip(".")
    return ("0" if shown in ("-0", "") else shown).replace("-", "−")


def tiny(x: float) -> str:
    """A small number in powers of ten: 2·10⁻⁷."""
    mantissa, _, exponent = f"{x:.0e}".partition("e")
    return f"{mantissa}·10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
