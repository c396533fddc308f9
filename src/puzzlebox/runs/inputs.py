"""What a run was made from besides the package (maps, rows, the user's code): kept in the run, found again from it.

``config.json`` lists each file under the name it was given, with absolute path, size and SHA-256. Code and small files
are copied into the run's folder ``files``; ``kept`` names the copy. So a run can be moved, and editing a map later
changes no score.

Opening somebody else's run must not run their code unasked. Code that a run brings along is run only where this user
has trained with exactly that code before: the hashes of all code that ``train`` was given are remembered in the user's
own folder. Anything else needs ``--trust-code``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from puzzlebox.data.dataset_files import SUFFIXES
from puzzlebox.envs.own import is_own, own_file
from puzzlebox.errors import UsageError
from puzzlebox.runs.directory import FILES, Run

SMALL = 5_000_000  # bytes; a larger file is not copied


def keep(path: Path, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Copies code and small files that ``config`` names into the run at ``path``; returns what ``config.json`` lists.

    The user has just named this code, so from now on it is trusted. Raises UsageError where a file is missing.
    """
    entries: list[dict[str, Any]] = []
    for name, is_code in named_files(config).items():
        source = Path(name)
        size = source.stat().st_size
        entry: dict[str, Any] = {
            "name": name,
            "path": str(source.resolve()),
            "size": size,
            "sha256": digest(source),
            "code": is_code,
        }
        if is_code or size <= SMALL:
            target = path / FILES / f"{entry['sha256'][:8]}-{source.name}"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
            entry["kept"] = f"{FILES}/{target.name}"
        entries.append(entry)
    beside = [_keep_beside(path, Path(entry["path"])) for entry in entries if entry["code"]]
    entries += [entry for several in beside for entry in several]
    remember([entry["sha256"] for entry in entries if entry["code"]] + [d for _, d in imported_modules(config)])
    return entries


def renew(run: Run) -> list[str]:
    """Before a run is resumed: takes code anew that its user has changed where it came from; says which.

    Only code that this user trained with, from a file of the same name, so that a config from elsewhere picks nothing.
    """
    trusted, notes = remembered(), []
    for entry in run.config.get("files", ()):
        source, kept = Path(entry["path"]), run.path / str(entry.get("kept") or "?")
        changed = entry["code"] and source.is_file() and kept.is_file() and digest(source) != entry["sha256"]
        if changed and entry["sha256"] in trusted and kept.name.endswith(source.name):
            shutil.copyfile(source, kept)
            entry |= {"sha256": digest(source), "size": source.stat().st_size}
            remember([entry["sha256"]])
            notes.append(f"{source} has changed since the run began; it goes on with the file as it is now")
    if notes:
        run.note(files=run.config["files"])
    return notes


def located(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """``config`` with every file named by where it is now: the run's copy, or where it was.

    Raises UsageError where a file is gone, or is another than the run was made from.
    """
    names = {entry["name"]: _place(entry, path) for entry in config.get("files", ()) if entry["name"]}
    return config | {key: _renamed(config[key], names) for key in ("algorithm", "env")}


def check_trusted(config: dict[str, Any], path: Path) -> None:
    """Raises UsageError where ``config``, already `located`, would run code that this user has not trained with."""
    if TRUST.everything:
        return
    trusted = remembered()
    files = [Path(name) for name, is_code in named_files(config).items() if is_code]
    # the run's copy of a file imports its neighbours, so they count too
    beside = [f for file in files if file.parent.name == FILES for f in file.parent.glob("*.py")]
    found = [(str(file), digest(file)) for file in {*files, *beside}] + imported_modules(config)
    for name, sha256 in sorted(found):
        if sha256 not in trusted:
            raise UsageError(
                f"{path} brings code along that would run now: {name}; read it, and where you trust it add --trust-code"
            )


class Trust:
    """``everything``: the user has said --trust-code. It holds for the whole process."""

    everything = False


TRUST = Trust()


def named_files(config: dict[str, Any]) -> dict[str, bool]:
    """The files that a config's algorithm and world name, each with whether it is code.

    Those are ``my_ppo.py:MyPPO`` (code), ``grid:FILE``, ``FILE.jsonl`` and its kin, and ``reward=FILE.py:f`` (code).
    Raises UsageError for a file that does not exist.
    """
    found: dict[str, bool] = {}
    for name in (config["algorithm"], config["env"]):
        base, *settings = name.split(",")
        if is_own(base):
            found[str(own_file(base))] = True
        elif base.startswith("grid:"):
            found[base.removeprefix("grid:")] = False
        elif base.endswith(SUFFIXES):
            found[base] = False
        for key, _, value in (setting.partition("=") for setting in settings):
            if key.strip() == "reward" and is_own(value):
                found[str(own_file(value))] = True
    missing = [name for name in found if not Path(name).is_file()]
    if missing:
        raise UsageError(f"there is no file '{missing[0]}'")
    return found


def imported_modules(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Modules that a name would import (``gym:module:Name``, ``reward=module:f``), each with its file's SHA-256.

    They are looked up and hashed, never imported, nor is the package around one.
    """
    base, *settings = config["env"].split(",")
    modules = [base.split(":")[1]] if base.startswith("gym:") and base.count(":") > 1 else []
    for key, _, value in (setting.partition("=") for setting in settings):
        if key.strip() == "reward" and ":" in value and not is_own(value):
            modules.append(value.rpartition(":")[0])
    return [(name, digest(file)) for module in modules for name, file in module_files(module)]


def module_files(module: str) -> list[tuple[str, Path]]:
    """The files that importing ``package.module`` would run: the package's and the module's own."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)  # of a name with a dot it would import the package
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        return []
    found, folder = [(top, Path(spec.origin))], Path(spec.origin).parent
    for number, part in enumerate(rest, 2):
        name, folder = ".".join([top, *rest][:number]), folder / part
        found += [(name, file) for file in (folder.with_suffix(".py"), folder / "__init__.py")]
    return [(name, file) for name, file in found if file.is_file()]


def digest(path: Path) -> str:
    """The file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered() -> set[str]:
    """The SHA-256 of all code that this user has trained with on this machine."""
    file = _memory()
    return set(file.read_text().split()) if file.is_file() else set()


def remember(hashes: list[str]) -> None:
    """Adds to what `remembered` returns."""
    new = sorted(set(hashes) - remembered())
    if new:
        _memory().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _memory().open("a") as file:
            file.write("".join(f"{sha256}\n" for sha256 in new))


def _memory() -> Path:
    """The user's file of trusted hashes."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "puzzlebox" / "trusted-code"


def _keep_beside(path: Path, source: Path) -> list[dict[str, Any]]:
    """Copies the modules beside ``source`` that it has imported, so that the run's copy finds them too."""
    entries = []
    for module in list(sys.modules.values()):
        file = Path(module.__dict__.get("__file__") or "")
        if file.suffix == ".py" and file.parent == source.parent and file != source:
            shutil.copyfile(file, path / FILES / file.name)
            entry = {"name": "", "path": str(file), "size": file.stat().st_size, "sha256": digest(file), "code": True}
            entries.append(entry | {"kept": f"{FILES}/{file.name}"})
    return entries


def _place(entry: dict[str, Any], path: Path) -> str:
    """Where the file of an ``entry`` is now: the run's copy, else the original; UsageError where neither will do."""
    kept = path / str(entry.get("kept") or "?")
    # a config from elsewhere must not point out of its own run
    if kept.is_file() and kept.resolve().is_relative_to(path.resolve()):
        return str(kept)
    for place in (Path(entry["path"]), Path(entry["name"])):
        if place.is_file():
            if digest(place) != entry["sha256"]:
                raise UsageError(f"{place} is no longer the file that {path} was made from (its SHA-256 differs)")
            return str(place)
    raise UsageError(f"{path} was made from {entry['path']}, which is not here; put the file there again")


def _renamed(name: str, names: dict[str, str]) -> str:
    """``name`` with the files in it replaced, where they stand as a whole: up to a comma, a colon or an end."""
    parts = []
    for part in name.split(","):
        key, equals, value = part.rpartition("=") if part.startswith("reward") else ("", "", part)
        prefix, value = ("grid:", value.removeprefix("grid:")) if value.startswith("grid:") else ("", value)
        file, colon, rest = value.rpartition(":") if is_own(value) else (value, "", "")
        parts.append(f"{key}{equals}{prefix}{names.get(file, file)}{colon}{rest}")
    return ",".join(parts)
