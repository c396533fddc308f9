"""A replay that keeps time: the last steps of ``B`` worlds in the order they were played, and stretches drawn of them.

`data.replay` forgets which step followed which; to unroll a model, or to sum several rewards, one needs to know.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from puzzlebox.types import Array, Key


class Sequences(NamedTuple):
    """``storage``: steps with leaves ``[rows, B, ...]``, a ring in time; ``added``: how many rows were ever added."""

    storage: Any
    added: Array


def empty(example: Any, rows: int) -> Sequences:
    """Nothing yet, for one row of steps shaped like ``example``: leaves ``[B, ...]``, arrays or shapes."""
    return Sequences(jax.tree.map(lambda x: jnp.zeros((rows, *x.shape), x.dtype), example), jnp.int32(0))


def add(sequences: Sequences, steps: Any) -> Sequences:
    """Writes ``[T, B, ...]`` steps over the oldest; T divides the number of rows, so a block never wraps around."""
    count, rows = _rows(steps), _rows(sequences.storage)
    first = sequences.added % rows

    def write(ring: Array, block: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(ring, block.astype(ring.dtype), first, axis=0)

    return Sequences(jax.tree.map(write, sequences.storage, steps), sequences.added + count)


def draw(sequences: Sequences, key: Key, count: int, length: int) -> tuple[Array, Array]:
    """Where ``count`` stretches of ``length`` rows begin, uniformly among those that are there: (row, world), ``[N]``.

    ``row`` counts from the first row ever added. It is 0 or above also where fewer than ``length`` rows are there.
    """
    rows, worlds = jax.tree.leaves(sequences.storage)[0].shape[:2]
    oldest = jnp.maximum(sequences.added - rows, 0)
    newest = jnp.maximum(sequences.added - length, oldest)
    place = jax.random.randint(key, (count,), oldest * worlds, (newest + 1) * worlds)
    return place // worlds, place % worlds


def read(steps: Any, row: Array, world: Array, length: int) -> Any:
    """The stretches that begin there, leaves ``[length, N, ...]``; ``steps`` is a storage or a part of one."""
    places = (row + jnp.arange(length)[:, None]) % _rows(steps)
    return jax.tree.map(lambda ring: ring[places, world], steps)


def _rows(steps: Any) -> int:
    return jax.tree.leaves(steps)[0].shape[0]
