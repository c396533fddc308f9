"""What a person sees while something long runs: a bar with speed and return, on standard error.

Standard output is left to results, so that it can be piped.
"""

from __future__ import annotations

import io
import math
import sys
import time
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

LINE_EVERY = 5.0  # seconds between lines where there is no terminal to draw a bar on


def si(number: float) -> str:
    """1234567 -> '1.23M'."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.3g}"


class TrainingProgress:
    """A live bar on a terminal; a line every few seconds elsewhere, or if not ``live``; nothing if ``quiet``."""

    def __init__(self, title: str, total_steps: int, num_agents: int, quiet: bool = False, live: bool = True):
        self.console = Console(stderr=True, quiet=quiet)
        self.live = live and self.console.is_terminal
        self.title, self.total, self.num_agents = title, total_steps, num_agents
        self.last_line = 0.0
        self.mean = "no episode yet"
        columns: list[ProgressColumn] = [
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
        ]
        self.bar = Progress(*columns, console=self.console, disable=quiet or not self.live)
        self.task = self.bar.add_task(title, total=total_steps, figures="compiling …")

    def __enter__(self) -> TrainingProgress:
        self.bar.start()
        if not self.live:
            self.note(f"{self.title}: compiling …")
        return self

    def __exit__(self, *_: Any) -> None:
        self.bar.stop()

    def note(self, text: str) -> None:
        """Prints a line that stays, above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def update(
        self, steps: int, steps_per_second: float, metrics: dict[str, list[float]], share: float | None = None
    ) -> None:
        """Shows how far the agents are, their speed (environment steps per second, all together) and mean return.

        ``steps`` counts those of one agent. ``share`` is the share of the training time that is over, given where time
        ends the training and not the number of steps.
        """
        self.mean = shown(metrics) or self.mean  # long episodes do not end in every row
        who = f" · {self.num_agents} agents" if self.num_agents > 1 else ""
        figures = f"{si(steps_per_second)} steps/s · {self.mean}{who}"
        self.bar.update(self.task, completed=steps if share is None else share * self.total, figures=figures)
        now = time.monotonic()
        if not self.live and (now - self.last_line > LINE_EVERY or steps >= self.total):
            self.last_line = now
            far = f"{steps}/{self.total} steps" if share is None else f"{steps} steps, {share:.0%} of the time"
            self.note(f"{self.title}: {far} · {figures}")


def shown(metrics: dict[str, list[float]]) -> str:
    """The figure of a row of metrics that tells most: return, reward or loss; nothing where no episode ended."""
    for name, label, digits in (("episode_return", "return", 1), ("reward", "reward", 3), ("loss", "loss", 3)):
        if name in metrics:
            values = [value for value in metrics[name] if not math.isnan(value)]
            return f"{label} {sum(values) / len(values):.{digits}f}" if values else ""
    return ""


def forgiving(out: TextIO) -> TextIO:
    """``out``, changed to print a question mark for a character that its encoding lacks instead of raising."""
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")
    return out


def say(text: str) -> None:
    """A plain line for the person, on standard error."""
    print(text, file=sys.stderr, flush=True)
