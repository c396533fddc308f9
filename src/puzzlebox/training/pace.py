"""How far a training is, and how much of it comes next: by steps, or by the clock."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from typing import Any

from puzzlebox.types import Trainee

RECENT = 20  # points that tell what is left
POINTS = 100  # logged points per run, about


class Pace:
    """The clock of one training; ``seconds`` and ``steps`` count what was trained before it was resumed too."""

    def __init__(self, config: dict[str, Any], agents: Trainee, progress: dict[str, Any]):
        self.total_steps: int = config["steps"]
        self.iteration_steps = agents.algorithm.iteration_steps
        self.limit = math.inf if config.get("minutes") is None else 60 * config["minutes"]
        self.steps: int = progress["steps"]
        self.seconds: float = progress["seconds"]
        self.before = self.steps, self.seconds
        self.points: list[tuple[int, float]] = []  # steps and seconds since it began; the first contains compiling
        each = self.total_steps // self.iteration_steps // POINTS
        self.per_point = 1 if agents.asks_a_person else max(1, each)  # iterations

    def begin(self, compile_seconds: float) -> None:
        """The clock starts when everything that can be compiled before is."""
        self.began, self.compile_seconds = time.perf_counter(), compile_seconds

    @property
    def finished(self) -> bool:
        return self.total_steps - self.steps < self.iteration_steps or self.seconds >= self.limit

    def iterations(self) -> int:
        """Those of the next point; of the first point under a limit one, which tells how long they take."""
        if self.limit < math.inf:
            steps, seconds = self.steps - self.before[0], self.seconds - self.before[1]
            self.per_point = paced(steps, seconds, self.limit, self.seconds) // self.iteration_steps or 1
        return min(self.per_point, (self.total_steps - self.steps) // self.iteration_steps)

    def took(self, iterations: int) -> None:
        """So many iterations are done."""
        self.steps += iterations * self.iteration_steps
        elapsed = time.perf_counter() - self.began
        self.seconds = self.before[1] + elapsed
        self.points.append((self.steps, elapsed))

    @property
    def share(self) -> float | None:
        """How much of the training is over where time ends it."""
        return None if self.limit == math.inf else min(1.0, self.seconds / self.limit)

    def steps_per_second(self, num_agents: int) -> float:
        """Steps of all agents together, since it began or was resumed."""
        return (self.steps - self.before[0]) * num_agents / self.points[-1][1]

    def duration(self) -> str:
        """One line about time for a person, from the median of recent points.

        A point that compiled a new shape, as language models do now and then, tells nothing of those to come.
        """
        pairs = itertools.pairwise(self.points[-RECENT:])
        each = statistics.median((later - sooner) / (b - a) for (a, sooner), (b, later) in pairs)
        return duration(each, 1, self.total_steps - self.steps)


def paced(steps: int, seconds: float, limit: float, gone: float) -> int:
    """How many steps the next point takes, so that about `POINTS` points fill ``limit`` seconds and none overshoots it.

    ``steps`` were taken in ``seconds``; ``gone`` seconds of the limit are over. 0 as long as nothing was measured.
    """
    return int(steps / seconds * max(min(limit / POINTS, limit - gone), 0)) if steps else 0


def duration(seconds: float, steps: int, left: int) -> str:
    """One line about time, from ``seconds`` that ``steps`` steps of all agents took; ``left`` steps remain."""
    each = seconds / steps
    rest = each * left
    shown = f"{rest:.0f} s" if rest < 120 else f"{rest / 60:.0f} min" if rest < 7200 else f"{rest / 3600:.1f} h"
    return f"{each:.3g} s per step, about {shown} left"
