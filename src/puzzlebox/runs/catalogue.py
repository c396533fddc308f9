"""``puzzlebox list``: the worlds, algorithms, language tasks and models there are."""

from __future__ import annotations

from typing import Any

from puzzlebox.algorithms import ALGORITHMS, algorithm_class
from puzzlebox.envs import ENVIRONMENTS, GAMES, PREFIXES
from puzzlebox.envs.text import PREFIXES as TASK_PREFIXES
from puzzlebox.envs.text import TASKS, make_task
from puzzlebox.errors import unknown
from puzzlebox.runs.pretrained import MODELS


def list_names(what: str | None = None) -> dict[str, Any]:
    """Names by kind (``envs``, ``algorithms``, ``tasks``, ``models``), or of the kind ``what`` alone.

    Of all but the worlds each name comes with a line about it. Raises UsageError for another kind.
    """
    names: dict[str, Any] = {
        "envs": [*ENVIRONMENTS, *GAMES, *(f"{prefix}:…" for prefix in PREFIXES)],
        "algorithms": {name: _first_line(name) for name in ALGORITHMS},
        "tasks": {name: _problem(name) for name in TASKS}
        | {f"{prefix}:…": text for prefix, text in TASK_PREFIXES.items()},
        "models": MODELS,
    }
    if what and what not in names:
        raise unknown("kind", what, names)
    return {what: names[what]} if what else names


def summary_lines(names: dict[str, Any]) -> list[str]:
    """The names for a person, below each other."""
    out = []
    for kind, some in names.items():
        out.append(kind)
        for name in some:
            text = some[name] if isinstance(some, dict) else PREFIXES.get(name.removesuffix(":…"), "")
            out.append(f"  {name:24}{text}".rstrip())
    return out


def _first_line(algorithm: str) -> str:
    """The first line of the algorithm's docstring: so that line is shown to users."""
    return (algorithm_class(algorithm).__doc__ or "").strip().splitlines()[0]


def _problem(task: str) -> str:
    """One example of the task, as its description."""
    example = make_task(task).examples("train", 1, 0)[0]
    return f"{example.prompt} → {example.completion}" if example.completion else example.prompt
