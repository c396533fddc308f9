"""A command as a record: the function it calls, its flags and its help, each written once.

The function is named as text and imported when the command runs, so that every start is quick. A flag sets the
parameter of the same name; one that is not given is not passed, so that a default is written in the function alone (the
help repeats it as text, which a test holds against the function).
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class Flag(NamedTuple):
    """A flag (``--seed``), or a word in its place (``env``). What has no comment here is argparse's word."""

    name: str
    help: str
    type: Callable[[str], Any] = str  # reads a value, of several each
    default: str = ""  # the function's, as text for the help
    parameter: str | None = None  # the one it sets, where it has another name; "" for a word that is not passed
    also: tuple[str, ...] = ()  # its other names
    metavar: str = ""  # by default the name in capitals
    action: str = "store"  # or "append", "store_true", and "yes_no" for --flag and --no-flag
    nargs: str | None = None
    choices: tuple[str, ...] | None = None
    required: bool = False
    group: str = ""  # the heading it stands under in the help

    @property
    def plain(self) -> str:
        """The name without hyphens: ``num_envs`` of ``--num-envs``."""
        return self.name.removeprefix("--").replace("-", "_")

    @property
    def sets(self) -> str:
        """The parameter of the function that it sets; "" for none."""
        return self.plain if self.parameter is None else self.parameter


def switch(name: str, help: str) -> Flag:
    """A flag without a value, which sets its parameter to True."""
    return Flag(name, help, action="store_true")


def seed(of: str) -> Flag:
    """The flag ``--seed``; ``of`` says what it decides."""
    return Flag("--seed", of, int, "0")


def under(heading: str, *flags: Flag) -> tuple[Flag, ...]:
    """The flags under a heading of their own in the help."""
    return tuple(flag._replace(group=heading) for flag in flags)


def several(text: str) -> tuple[str, ...]:
    """For ``Flag.type``: names separated by commas."""
    return tuple(filter(None, text.split(",")))


class Command(NamedTuple):
    """``call``: "module:function". ``flags``: in the order of the help."""

    call: str
    help: str
    flags: tuple[Flag, ...]
    show: str = "summary_lines"  # makes the lines for a person; in the module of the call, or "module:function"
    footnote: str = ""  # the same for a line on standard error
    python: str = ""  # the name of the Python call, where it is not the command's


def load(name: str, beside: str = "") -> Callable[..., Any]:
    """The function called "module:function", or "function" ``beside`` another."""
    module, _, function = name.rpartition(":")
    return getattr(importlib.import_module(module or beside.partition(":")[0]), function)


def run(command: Command, arguments: dict[str, Any], as_json: bool) -> None:
    """Calls the function and prints its figures: lines for a person, or one JSON object.

    What the function itself prints goes to standard error beside JSON, which is then alone on standard output.
    """
    if as_json:
        import json

        with contextlib.redirect_stdout(sys.stderr):
            figures = load(command.call)(**arguments)
        print(json.dumps(figures))
        return
    figures = load(command.call)(**arguments)
    if command.show:
        print("\n".join(load(command.show, command.call)(figures)), flush=True)
    if command.footnote:
        print(load(command.footnote, command.call)(figures), file=sys.stderr, flush=True)
