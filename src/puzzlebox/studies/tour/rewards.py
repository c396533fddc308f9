"""Rewards: the same game paid in four ways. The quick form of the reward lab, with two of its films."""

from __future__ import annotations

from puzzlebox.pictures.page import Check, Picture, Row, Tile
from puzzlebox.studies.reward_lab import lab as reward_lab
from puzzlebox.studies.reward_lab.page import EQUATION, paid_table, weights_table
from puzzlebox.studies.tour.chapter import Chapter, Context

FILMED = ("progress", "new-area")


def rewards(context: Context) -> Chapter:
    """Trains the four weightings and shows the worst misunderstanding beside its cure."""
    summary = reward_lab.reward_lab(quick=True, run=context.folder / "lab", quiet=True)
    settings = summary["settings"]
    pictures = [
        Picture(
            context.folder / "lab" / f"{name}.gif",
            settings[name]["title"],
            f"{settings[name]['title']}. {settings[name]['why']}",
            context.folder / "lab" / f"{name}.png",
            width=380,
        )
        for name in FILMED
    ]
    best = settings["new-area"]["completion_rate"]
    return Chapter(
        headline=f"the same game paid in four ways: completed in {best:.0%} with the bonus for new areas",
        blocks=[
            "A game pays for six things at once, and somebody chose the weights. The level starts at the foot of a "
            "wall that takes a run-up, so that the way to the goal begins in the wrong direction.",
            EQUATION,
            Row(pictures),
            weights_table(settings),
            paid_table(settings),
        ],
        checks=[Check(f"{s['title']}: {s['claim']}", s["holds"]) for s in settings.values()],
        protocol=f"PPO on {summary['world']}, {summary['seeds']} seeds per setting, {summary['steps']:,} steps each, "
        f"in one compiled program; {summary['episodes']} greedy episodes per agent.",
        commands=["puzzlebox reward-lab --quick"],
        figures={name: settings[name]["completion_rate"] for name in settings},
        tiles=[Tile(f"{best:.0%}", "of a video game's level completed, once the reward pays for what is new")],
    )
