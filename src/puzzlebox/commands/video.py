"""The commands for video games; see `commands`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def reward_lab(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.studies.reward_lab import lab as reward_lab

    summary = reward_lab.reward_lab(
        quick=arguments.quick, seeds=arguments.seeds, seed=arguments.seed, run=arguments.run
    )
    if not arguments.json:
        print("\n".join(reward_lab.summary_lines(summary)))
    return summary


def roms(arguments: argparse.Namespace) -> dict[str, Any]:
    from puzzlebox.envs import roms

    figures = roms.import_roms(arguments.directory)
    if not arguments.json:
        print("\n".join(roms.summary_lines(figures)))
    return figures


def reward_lab_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="shorter training, about a minute")
    parser.add_argument("--seeds", type=int, help="how many agents per setting (default 5, with --quick 2)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--run", type=Path, help="the folder (default runs/reward-lab-TIME)")


def roms_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["import"], help="what to do with them")
    parser.add_argument("directory", metavar="DIR", type=Path, help="where your ROM files are, zip files too")


COMMANDS: dict[str, tuple[Callable, str, Callable]] = {
    "reward-lab": (reward_lab, "four weightings of a reward and what each teaches, with films", reward_lab_arguments),
    "roms": (roms, "import ROMs that you own, such as Sonic 2, known by their SHA-1", roms_arguments),
}
