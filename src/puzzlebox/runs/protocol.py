"""The rules behind a score: how a simulated world was played during training, and how it is played for its scores.

Scores on Atari can only be compared where the rules agree (frames per step, sticky actions, lives), so a run records
both sets. Source: Machado et al. 2018, arXiv 1709.06009.
"""

from __future__ import annotations

from typing import Any

from puzzlebox.types import Game, Scored, Task, World

EPISODES, SIMULATED_EPISODES = 100, 8  # of an evaluation; games in a simulator are long, and eight run at once


def for_scores(env: World) -> World:
    """The world as it is played for scores: without what only training does to it, such as clipping rewards."""
    return env.evaluation() if isinstance(env, Scored) else env


def default_episodes(env: World | Game | Task) -> int:
    """How many episodes an evaluation has where nobody says."""
    return SIMULATED_EPISODES if isinstance(env, Scored) else EPISODES


def recorded(env: World | Game | Task) -> dict[str, Any]:
    """What ``config.json`` keeps: the rules of training and those of scores; {} for a world without rules."""
    if not isinstance(env, Scored):
        return {}
    return {"protocol": {"training": env.protocol, "evaluation": env.evaluation().protocol}}


def of_scores(env: World | Game | Task, steps: int) -> dict[str, Any]:
    """What is reported beside a score: its rules, and the training steps also counted in frames, as papers do."""
    if not isinstance(env, Scored):
        return {}
    return {"frames": steps * env.protocol["frames_per_step"], "protocol": env.evaluation().protocol}


def protocol_lines(figures: dict[str, Any]) -> list[str]:
    """What `of_scores` says, for a person."""
    if "protocol" not in figures:
        return []
    words = ", ".join(_words(name.replace("_", " "), value) for name, value in figures["protocol"].items())
    return [f"protocol: {words}", f"{figures['steps']:,} steps are {figures['frames']:,} frames"]


def _words(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if isinstance(value, list):
        return f"{name} {' '.join(value)}" if len(value) <= 3 else f"{len(value)} {name}"
    if isinstance(value, dict):
        return f"{name} " + " ".join(f"{part.replace('_', ' ')} {number:g}" for part, number in value.items())
    return value if name == "simulator" else f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
