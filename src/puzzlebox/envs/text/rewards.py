"""Reward functions that users write, in TRL's convention (https://huggingface.co/docs/trl/grpo_trainer).

``def reward(prompts, completions, **columns) -> list[float]``: all arguments are lists with one entry per completion;
the other columns of the data come by name. Departure: a function that names only what it needs gets only that.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from puzzlebox.envs.own import line_of, load_file
from puzzlebox.errors import PuzzleboxError, UsageError, unknown


@dataclasses.dataclass(frozen=True)
class RewardFunction:
    """A checked reward function.

    ``spec`` is what the user wrote; ``names`` are the arguments the function takes, None if it takes any; ``needs`` are
    those without a default.
    """

    spec: str
    function: Callable[..., Any]
    names: frozenset[str] | None
    needs: tuple[str, ...]

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], columns: Mapping[str, Sequence[Any]]
    ) -> list[float]:
        """One finite reward per completion; prompts, completions and columns are lists of the same length.

        Raises UsageError where the data lack a column that the function needs, PuzzleboxError where it raises, or
        returns anything but one finite number per completion (naming the row, counted from 0, and the value).
        """
        self.check_columns(columns)
        given = {**columns, "prompts": list(prompts), "completions": list(completions)}
        if self.names is not None:
            given = {name: value for name, value in given.items() if name in self.names}
        try:
            rewards = self.function(**given)
        except Exception as error:
            raise PuzzleboxError(f"{self.spec} failed: {type(error).__name__}: {error}{line_of(error)}") from error
        return self._checked(rewards, len(completions))

    def check_columns(self, columns: Iterable[str]) -> None:
        """Raises UsageError where the data lack a column that the function needs."""
        for name in self.needs:
            if name not in {*columns, "prompts", "completions"}:
                there = ", ".join(sorted(columns)) or "none but the prompts"
                raise UsageError(f"{self.spec} needs the column '{name}'; there are: {there}")

    def _checked(self, rewards: Any, count: int) -> list[float]:
        try:
            values = list(rewards)
        except TypeError:
            raise PuzzleboxError(
                f"{self.spec} returned {rewards!r}; it must return a list with a number for each of {count} completions"
            ) from None
        if len(values) != count:
            raise PuzzleboxError(f"{self.spec} returned {len(values)} rewards for {count} completions")
        return [self._number(row, value) for row, value in enumerate(values)]

    def _number(self, row: int, value: Any) -> float:
        try:
            number = math.nan if isinstance(value, str) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise PuzzleboxError(f"{self.spec} returned {value!r} for row {row}; every reward must be a finite number")
        return number


def reward_function(spec: str) -> RewardFunction:
    """The function of ``module:function`` or ``path/to/file.py:function``.

    Raises UsageError where the file, the module or the function does not exist or takes no completions,
    PuzzleboxError where the file fails when run.
    """
    source, colon, name = spec.rpartition(":")
    if not colon or not source or not name:
        raise UsageError(f"reward function '{spec}' is incomplete; write module:function or file.py:function")
    module = load_file(Path(source), "reward") if source.endswith(".py") else _from_module(source)
    if not hasattr(module, name):
        functions = [n for n, f in vars(module).items() if inspect.isfunction(f) and not n.startswith("_")]
        raise unknown(f"function in {source}", name, functions or ["no function"])
    function = getattr(module, name)
    if not callable(function):
        raise UsageError(f"{spec} is no function but {function!r}")
    # Which arguments it takes: all columns, or those that it names.
    taken = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_POSITIONAL]
    named = [p for p in taken if p.kind is not p.VAR_KEYWORD]
    takes_all = len(named) < len(taken)
    if any(p.kind is p.POSITIONAL_ONLY for p in named) or not (
        takes_all or any(p.name == "completions" for p in named)
    ):
        raise UsageError(f"{spec} takes no argument 'completions'; write def {name}(completions, **columns)")
    needs = tuple(p.name for p in named if p.default is p.empty)
    return RewardFunction(spec, function, None if takes_all else frozenset(p.name for p in named), needs)


def _from_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or name) in (name, name.partition(".")[0]):
            raise UsageError(f"module '{name}' does not exist; for a file write path/to/file.py:function") from None
        raise PuzzleboxError(f"module '{name}' failed: {type(error).__name__}: {error}{line_of(error)}") from error
