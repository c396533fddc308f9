"""What the pages take from the code when they are built.

``<!-- hyperparameters: ppo -->`` and ``<!-- options: grid/toy -->`` each become a table. One written by hand would go
stale; these come from the same fields as the flags and the errors.
"""

from __future__ import annotations

import re
from typing import Any

MARK = re.compile(r"<!-- (hyperparameters|options): (\S+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return MARK.sub(lambda found: table(found[1], found[2]), markdown)


def table(kind: str, name: str) -> str:
    """The fields of an algorithm (as flags) or a world (as options) as a Markdown table."""
    from puzzlebox.algorithms import algorithm_class
    from puzzlebox.envs import make
    from puzzlebox.fields import params, value_of

    flags = kind == "hyperparameters"
    rows = [
        "| flag | default | range | meaning |" if flags else "| option | default | range | meaning |",
        "|---|---|---|---|",
    ]
    world = None if flags else make(name)
    for field, definition in params(algorithm_class(name) if flags else world).items():
        default = definition.default if flags else value_of(world, field)
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        label = f"--{field.replace('_', '-')}" if flags else field
        rows.append(f"| `{label}` | {shown} | {bounds(definition)} | {definition.help} |")
    return "\n".join(rows)


def bounds(parameter: Any) -> str:
    """``0 to 1``, ``≥ 1``, the choices, or nothing."""
    low, high, choices = parameter.low, parameter.high, parameter.choices
    if choices:
        return ", ".join(choices)
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    if low is not None:
        return f"≥ {low:g}"
    return f"≤ {high:g}" if high is not None else ""
