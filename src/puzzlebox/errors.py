"""The errors a user can cause: one line that says what was wrong, the value received, and the way out."""

from __future__ import annotations

import difflib
import re
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path


class PuzzleboxError(Exception):
    """Something failed while working; the command exits with 1."""

    exit_code = 1


class UsageError(PuzzleboxError, ValueError):
    """The request itself is wrong; the command exits with 2 before anything long starts."""

    exit_code = 2


class Interrupted(PuzzleboxError):
    """Ctrl-C while training: everything is saved, and the message says how to go on."""

    exit_code = 130


OURS = str(Path(__file__).parent)
MOST, MOST_NEAR = 60, 8  # names in an error


def unknown(kind: str, name: str, known: Iterable[str], there_are: str = "") -> UsageError:
    """The error for a name that does not exist: with the nearest names, or with those there are when none is near.

    ``there_are``: how the names there are shall be written, where a plain list says too little.
    """
    options = sorted(known)
    begins = re.match("[a-z]{3,}", name.lower())
    cutoff = 0.5 if len(name) > 3 else 0.65  # of short names half is soon alike: sac means neither star nor sarsa
    near = difflib.get_close_matches(name, options, n=3, cutoff=cutoff)
    near = near or [option for option in options if begins and option.lower().startswith(begins[0])][:MOST_NEAR]
    if near:
        return UsageError(f"unknown {kind} '{name}'; did you mean {' or '.join(near)}?")
    if there_are:
        return UsageError(f"unknown {kind} '{name}'; there are: {there_are}")
    more = f" and {len(options) - MOST} more" if len(options) > MOST else ""
    return UsageError(f"unknown {kind} '{name}'; there are: {', '.join(options[:MOST])}{more}")


def missing_extra(package: str, extra: str) -> UsageError:
    """The error for an optional package that is not installed."""
    return UsageError(f"{package} is not installed; get it with: pip install 'puzzlebox[{extra}]'")


def where_raised(fault: BaseException) -> str:
    """File and line of an error in somebody else's code: the last place that is not in an installed package."""
    if isinstance(fault, SyntaxError) and fault.filename:
        return f"{fault.filename}, line {fault.lineno}"
    frames = [frame for frame in traceback.extract_tb(fault.__traceback__) if not frame.filename.startswith("<")]
    installed = tuple({path for path in sysconfig.get_paths().values() if path})
    own = [frame for frame in frames if not frame.filename.startswith((*installed, OURS))] or frames
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else "nobody knows where"
