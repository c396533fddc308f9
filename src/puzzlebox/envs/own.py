"""Code that a user brings along: a class or function in a Python file, named ``path/to/file.py:NAME``.

A file is run once per process, whatever is asked of it. While it runs, its own folder is on the path, so that it can
import what lies beside it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from puzzlebox.errors import PuzzleboxError, UsageError, unknown
from puzzlebox.fields import params, value_of


def is_own(name: str) -> bool:
    """Whether ``name`` (options after commas do not count) is something in a Python file of the user's."""
    return name.partition(",")[0].rpartition(":")[0].endswith(".py")


def own_file(name: str) -> Path:
    """The file in ``path/to/file.py:NAME,option=value``."""
    return Path(name.partition(",")[0].rpartition(":")[0])


def load_own(name: str, what: str) -> Any:
    """What ``path/to/file.py:NAME`` names; ``what`` it should be, for messages.

    Raises UsageError where the file or the name does not exist, PuzzleboxError where the file fails when it runs.
    """
    path, wanted = own_file(name), name.partition(",")[0].rpartition(":")[2]
    module = load_file(path, what)
    there = vars(module)
    if wanted not in there:
        own = [n for n, thing in there.items() if isinstance(thing, type) and not n.startswith("_")]
        raise unknown(f"{what} in {path}", wanted, own or ["no class"])
    return there[wanted]


def load_file(path: Path, what: str) -> ModuleType:
    """The module that a Python file makes; ``what`` it holds, for messages."""
    if not path.is_file():
        raise UsageError(f"{what} file '{path}' does not exist")
    return _load(path.resolve(), path.stat().st_mtime_ns, what)


@lru_cache
def _load(path: Path, _changed: int, what: str) -> ModuleType:
    # A name of its own for every file, so that two called alike do not meet in sys.modules.
    found = importlib.util.spec_from_file_location(f"puzzlebox_own_{path.stem}_{abs(hash(path)):x}", path)
    assert found is not None and found.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses and typing look modules up there
    sys.path.insert(0, str(path.parent))
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[found.name]
        raise PuzzleboxError(f"{what} file '{path}' failed: {type(error).__name__}: {error}{line_of(error)}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def name_of_own(thing: Any) -> str:
    """``path/to/file.py:NAME`` of a class; of a world also the options that are not at their defaults.

    Raises UsageError for one that no file defines, such as one typed in at a prompt: a run must find it again.
    """
    kind = thing if isinstance(thing, type) else type(thing)
    try:
        file = inspect.getsourcefile(kind)
    except (TypeError, OSError):
        file = None
    module = sys.modules.get(kind.__module__)
    defined = module is not None and vars(module).get(kind.__qualname__) is kind  # not within a function
    if not defined or file is None or not Path(file).is_file():
        raise UsageError(
            f"{kind.__name__} is at the top of no file, where a run could find it again; write it into a .py file"
        )
    options = {} if isinstance(thing, type) or not dataclasses.is_dataclass(thing) else params(thing)
    changed = [f",{n}={value_of(thing, n)}" for n, p in options.items() if value_of(thing, n) != p.default]
    return f"{file}:{kind.__qualname__}{''.join(changed)}"


def line_of(error: BaseException) -> str:
    """Where in the user's code it happened, in words: the innermost line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
