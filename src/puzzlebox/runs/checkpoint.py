"""Checkpoints: the whole training state in one safetensors file, written atomically and checked by hash.

Orbax was measured first: it adds 110 MB to the install and over a second to every start; a state here is a few dozen
named arrays, for which one file, one rename and a SHA-256 are enough.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from puzzlebox.errors import PuzzleboxError

KEEP = 3  # checkpoints; the older ones are there in case the newest is damaged


class CorruptCheckpoint(PuzzleboxError):
    """The file is not what was written: it cannot be read, or its hash differs."""


def save(folder: Path, steps: int, state: Any, progress: dict[str, Any]) -> Path:
    """Writes ``state`` (a pytree of arrays) as ``folder/<steps>.safetensors``; keeps the newest three.

    The file appears whole or not at all, also on a full disk or a sudden death. Raises PuzzleboxError when it cannot be
    written; what was saved before stays.
    """
    arrays = _named_arrays(state)
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{steps:012d}.safetensors"
    partial = final.with_suffix(".partial")
    try:
        # written beside its place, forced onto the disk, then renamed: no reader ever sees half a file
        save_file(arrays, partial, metadata={"sha256": _digest(arrays), "progress": json.dumps(progress)})
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(final)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise PuzzleboxError(
            f"cannot write the checkpoint {final}: {error}; free some space and resume from the one before"
        ) from error
    for old in list_checkpoints(folder)[:-KEEP]:
        old.unlink(missing_ok=True)
    return final


def list_checkpoints(folder: Path) -> list[Path]:
    """All finished checkpoints, oldest first."""
    return sorted(folder.glob("*.safetensors"))


def load(path: Path, like: Any) -> tuple[Any, dict[str, Any]]:
    """The state in ``path``, shaped as the pytree ``like`` (arrays or shapes), and its progress record.

    Raises CorruptCheckpoint when the file is damaged, PuzzleboxError when it belongs to another algorithm or version.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError, ValueError) as error:
        raise CorruptCheckpoint(f"{path} is damaged: {error}") from error
    if metadata.get("sha256") != _digest(arrays):
        raise CorruptCheckpoint(f"{path} is damaged: its contents do not match their SHA-256")
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    values = []
    for place, leaf in leaves:
        name = jax.tree_util.keystr(place)
        # safetensors has no type for random keys: they are stored as two uint32 numbers each
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        shape = (*leaf.shape, 2) if is_key else leaf.shape
        array = arrays.get(name)
        if array is None:
            raise PuzzleboxError(
                f"{path} does not fit this run: it lacks {name}, because another version of Puzzlebox wrote it or it "
                "was exported without what training needs; start again with puzzlebox train"
            )
        if array.shape != shape:
            raise PuzzleboxError(
                f"{path} does not fit this run: {name} should have shape {shape}, found shape {array.shape}"
            )
        values.append(jax.random.wrap_key_data(array) if is_key else jax.numpy.asarray(array, leaf.dtype))
    return jax.tree_util.tree_unflatten(structure, values), json.loads(metadata["progress"])


def load_newest(folder: Path, like: Any) -> tuple[Any, dict[str, Any], list[str]]:
    """The newest undamaged checkpoint, and a line for each damaged one that was passed over.

    Raises PuzzleboxError when there is none.
    """
    skipped: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            state, progress = load(path, like)
        except CorruptCheckpoint as error:
            skipped.append(f"{error}; falling back to the checkpoint before it")
            continue
        return state, progress, skipped
    reason = "; ".join(skipped) or "it holds none"
    raise PuzzleboxError(f"no usable checkpoint in {folder}: {reason}; start again with puzzlebox train")


def _named_arrays(state: Any) -> dict[str, np.ndarray]:
    """The leaves of ``state`` by their path in the pytree, on the host; keys as their raw numbers."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    arrays = {}
    for place, leaf in leaves:
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        value = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        arrays[jax.tree_util.keystr(place)] = np.ascontiguousarray(value).reshape(value.shape)
    return arrays


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and bytes of all arrays."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)  # no copy: a replay of screens is several GB
    return digest.hexdigest()
