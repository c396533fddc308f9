"""The rules behind a score: how a simulated world was played while learning, and how it is played for its scores."""

from __future__ import annotations

from typing import Any

from puzzlebox.types import Game, Scored, Task, World

EPISODES, SIMULATED_EPISODES = 100, 8  # of an evaluation; whole games take long, and eight are played at once


def for_scores(env: World) -> World:
    """The world as it is played for scores: without what only training does to it, such as clipping rewards."""
    return env.evaluation() if isinstance(env, Scored) else env


def default_episodes(env: World | Game | Task) -> int:
    """How many episodes an evaluation has where nobody says."""
    return SIMULATED_EPISODES if isinstance(env, Scored) else EPISODES


def recorded(env: World | Game | Task) -> dict[str, Any]:
    """What ``config.json`` keeps: the rules of training and those of scores; nothing for a world without any."""
    if not isinstance(env, Scored):
        return {}
    return {"protocol": {"training": env.protocol, "evaluation": env.evaluation().protocol}}


def of_scores(env: World | Game | Task, steps: int) -> dict[str, Any]:
    """What stands beside a score: its rules, and the steps of training counted in frames too."""
    if not isinstance(env, Scored):
        return {}
    return {"frames": steps * env.protocol["frames_per_step"], "protocol": env.evaluation().protocol}


def protocol_lines(figures: dict[str, Any]) -> list[str]:
    """The same for a person."""
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
