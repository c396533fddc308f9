"""Language tasks by name: ``make_task("arith,level=precedence")``, ``make_task("reasoning:spell_backward")``.

A task makes problems and judges answers, both as plain text. Tokens begin in `data`.
"""

from __future__ import annotations

import importlib
from pathlib import PurePath

from puzzlebox.envs.options import configure, read_options
from puzzlebox.errors import UsageError, unknown
from puzzlebox.types import Task

# name -> "module:class" inside puzzlebox.envs.text, imported only when asked for
TASKS = {
    "arith": "arith:Arith",
    "copy": "strings:copy",
    "reverse": "strings:reverse",
    "count": "count:Count",
    "lipogram": "lipogram:Lipogram",
    "tiny": "tiny:Tiny",
}
PREFIXES = {"reasoning": "any dataset of reasoning-gym, e.g. reasoning:spell_backward"}
DATA_FILES = (".jsonl", ".json", ".parquet")


def is_data_file(name: str) -> bool:
    """Whether this is the name of a file of rows, which `data` reads and which is no task with a verifier."""
    return PurePath(name.partition(",")[0]).suffix in DATA_FILES


def make_task(name: str) -> Task:
    """The task called ``name``, options after commas: ``lipogram,letter=a,partial=0.2``.

    Raises UsageError for an unknown name (with the nearest ones), an unknown option, or a file of rows.
    """
    if is_data_file(name):
        raise UsageError(f"'{name}' is a file of rows and has no verifier; choose one of: {', '.join(TASKS)}")
    base, options = read_options(name)
    prefix, colon, rest = base.partition(":")
    if colon and prefix == "reasoning":
        from puzzlebox.envs.text.reasoning import make_reasoning

        return make_reasoning(rest, options)
    if colon:
        raise unknown("task prefix", prefix, PREFIXES)
    if base not in TASKS:
        raise unknown("task", base, TASKS)
    module, _, attribute = TASKS[base].partition(":")
    constructor = getattr(importlib.import_module(f"puzzlebox.envs.text.{module}"), attribute)
    return configure(base, constructor(), options)
