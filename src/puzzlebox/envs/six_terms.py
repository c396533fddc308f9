"""The six-term reward of the video-game case: one weight per term, and what each term paid.

reward per step = progress · Δx + speed · |Δx| + new_area · (new parts of the level) + rings · Δrings
                  − life_lost · (lives lost) + complete · (1 in the step that completes the level)

Δx is positive to the right and negative to the left, so ``progress`` pays for the distance won in the end. ``speed``
pays for every distance run, so that on its own it pays for running to and fro. ``new_area`` pays once in an episode for
each part of the level. Only plain operators are used: the numbers may be Python's, NumPy's or JAX's, of one world or of
many.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any, NamedTuple

from puzzlebox.errors import UsageError
from puzzlebox.fields import param

TERMS = ("progress", "speed", "new_area", "rings", "life_lost", "complete")


@dataclasses.dataclass(frozen=True)
class Weights:
    """The six weights. Raises UsageError for one that is not a finite number; arrays (swept weights) pass."""

    progress: float = param(0.1, "reward per tile to the right; what is run to the left is taken off")
    speed: float = param(0.0, "reward per tile run in any direction")
    new_area: float = param(1.0, "reward per part of the level that is visited for the first time in an episode")
    rings: float = param(0.05, "reward per ring; rings that are lost are taken off")
    life_lost: float = param(1.0, "taken off per life lost")
    complete: float = param(10.0, "reward for completing the level")

    def __post_init__(self):
        for name in TERMS:
            value = getattr(self, name)
            if isinstance(value, numbers.Real) and not math.isfinite(value):
                raise UsageError(f"{name} is {value}; a weight of the reward must be a finite number")


class Situation(NamedTuple):
    """What the reward is computed from, before and after a step: numbers, or arrays of one shape.

    ``leftmost`` and ``furthest`` bound where ``x`` has been in this episode: a body moves without jumps, so that it has
    been everywhere between them.
    """

    x: Any  # tiles
    leftmost: Any  # tiles
    furthest: Any  # tiles
    rings: Any
    lives: Any
    completed: Any  # bool


def terms(weights: Weights, area: float, before: Situation, after: Situation) -> dict[str, Any]:
    """What each term pays for the step from ``before`` to ``after``, by `TERMS`; their sum is the reward.

    ``area`` is the width of a part of the level, in the unit of x.
    """
    dx = after.x - before.x
    lost = (before.lives > after.lives) * (before.lives - after.lives)
    return {
        "progress": weights.progress * dx,
        "speed": weights.speed * abs(dx),
        "new_area": weights.new_area * (areas(after, area) - areas(before, area)),
        "rings": weights.rings * (after.rings - before.rings),
        "life_lost": -weights.life_lost * lost,
        "complete": weights.complete * (1.0 * after.completed - 1.0 * before.completed),
    }


def areas(situation: Situation, area: float) -> Any:
    """How many parts of the level, each ``area`` wide, were visited in this episode."""
    return situation.furthest // area - situation.leftmost // area + 1
