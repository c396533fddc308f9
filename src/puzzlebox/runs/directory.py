"""A run is a directory: the only interface between training and everything that looks at it.

config.json       what was asked: algorithm, world, hyper-parameters, seeds, versions, hardware, protocol
metrics.jsonl     one line per logged point: {"steps": …, "seconds": …, "episode_return": [one per agent], …}
checkpoints/      the newest three training states
evaluation.json   returns of every evaluation episode, greedy and sampled
summary.json      the figures of the run
files/            copies of what it was made from: a map, rows, code of the user's own (see `inputs`)
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

from puzzlebox.algorithms import of_games, of_language
from puzzlebox.errors import PuzzleboxError, UsageError

FORMAT = 1
FILES = "files"  # the folder of what the run was made from, see `inputs`


class Run:
    """A run directory opened for reading, or created for writing."""

    def __init__(self, path: Path, config: dict[str, Any]):
        self.path = path
        self.config = config

    @classmethod
    def create(cls, path: str | Path, config: dict[str, Any]) -> Run:
        """A new run; raises UsageError when the directory holds a run or anything else already."""
        path = Path(path)
        check_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the run directory {path}: {error.strerror}; choose another --run") from error
        run = cls(path, {"format": FORMAT, **config})
        write_json(path / "config.json", run.config)
        (path / "metrics.jsonl").touch()
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run; raises UsageError when the directory is missing, is no run or has a broken config."""
        path = Path(path)
        if not path.is_dir():
            raise UsageError(f"there is no run directory {path}; train makes one: puzzlebox train ppo CartPole-v1")
        config_file = path / "config.json"
        if not config_file.is_file():
            raise UsageError(f"{path} is not a run directory: it has no config.json")
        try:
            config = json.loads(config_file.read_text())
        except ValueError as error:
            raise UsageError(f"{config_file} is not readable as JSON: {error}") from error
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise UsageError(f"{config_file} was not written by this version of puzzlebox (format {FORMAT} expected)")
        return cls(path, config)

    @property
    def family(self) -> str:
        """What its algorithm learns: "language", "games" or "worlds". To know it, no code of the run is run.

        It stands in the config; for an older run, where it does not, the algorithm is looked up.
        """
        return self.config.get("family") or family_of(self.config.get("algorithm", ""))

    def discard(self) -> None:
        """Removes what `create` made, if the run was refused before its first logged point or checkpoint."""
        if not self.metrics() and not self.checkpoints.exists():
            for name in ("config.json", "metrics.jsonl"):
                (self.path / name).unlink(missing_ok=True)
            shutil.rmtree(self.path / FILES, ignore_errors=True)
            with contextlib.suppress(OSError):  # others' files are there
                self.path.rmdir()

    def note(self, **more: Any) -> None:
        """Adds entries to ``config.json``."""
        self.config |= more
        write_json(self.path / "config.json", self.config)

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints; it appears with the first one."""
        return self.path / "checkpoints"

    def metrics(self) -> list[dict[str, Any]]:
        """All logged points; a last line cut off by a sudden death is left out."""
        rows = []
        file = self.path / "metrics.jsonl"
        for line in file.read_text().splitlines() if file.exists() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Adds one logged point; raises PuzzleboxError where it cannot be written."""
        with writing(self.path / "metrics.jsonl"), (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(finite(row)) + "\n")

    def cut_metrics(self, steps: int) -> None:
        """Drops the points after ``steps``: a resumed run starts at a checkpoint and logs them again."""
        rows = [row for row in self.metrics() if row["steps"] <= steps]
        write_text(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def evaluation(self) -> dict[str, Any]:
        """What ``evaluate`` wrote last; raises UsageError where it has never run."""
        return self._read("evaluation.json", "evaluate it first: puzzlebox evaluate")

    def summary(self) -> dict[str, Any]:
        """The figures of the finished run; raises UsageError while it is unfinished."""
        return self._read("summary.json", "it is not finished; continue it: puzzlebox resume")

    def _read(self, name: str, way_out: str) -> dict[str, Any]:
        """The JSON file ``name`` of the run; raises UsageError, with the ``way_out``, where it is missing."""
        file = self.path / name
        if not file.exists():
            raise UsageError(f"{self.path} has no {name}; {way_out} {self.path}")
        return json.loads(file.read_text())


def family_of(algorithm: str) -> str:
    """The family of an algorithm by name; one of a user's own, ``my_ppo.py:MyPPO``, is loaded to know."""
    return "language" if of_language(algorithm) else "games" if of_games(algorithm) else "worlds"


def check_free(path: Path) -> None:
    """Raises UsageError unless a new run can be made at ``path``."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; choose another --run directory")
    if (path / "config.json").exists():
        raise UsageError(
            f"{path} holds a run already; continue it with: puzzlebox resume {path}, or choose another --run"
        )
    if path.is_dir() and any(path.iterdir()):
        raise UsageError(f"{path} holds something else ({next(path.iterdir()).name}); choose an empty or new --run")


def write_json(path: Path, value: Any) -> None:
    """Replaces ``path`` in one step by ``value`` as JSON; NaN and infinity become null."""
    write_text(path, json.dumps(finite(value), indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replaces the file in one step, so that a reader never sees half of it."""
    partial = path.with_suffix(path.suffix + ".partial")
    with writing(path):
        try:
            with partial.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


class writing:
    """Turns an operating-system error while writing ``path`` into one line for the user."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, OSError):
            raise PuzzleboxError(
                f"cannot write {self.path}: {error.strerror}; what was saved before is kept"
            ) from error


def finite(value: Any) -> Any:
    """``value`` for JSON, which knows no NaN: numbers that are not finite become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value
