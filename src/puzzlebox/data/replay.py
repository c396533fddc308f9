"""Experience replay (Lin 1992; Mnih et al. 2015): a ring of past transitions from which minibatches are drawn.

What a row is, the caller decides. `transitions`, `frames` and `sequences` read rings whose rows are steps in order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from puzzlebox.types import Array, Key


class Replay(NamedTuple):
    """``storage``: transitions, or rows of another kind, ``[capacity, ...]``; ``added``: how many were ever added."""

    storage: Any
    added: Array


def empty(example: Any, capacity: int) -> Replay:
    """An empty replay, for rows shaped like ``example`` (one row, arrays or shapes)."""
    return Replay(jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), example), jnp.int32(0))


def add(replay: Replay, transitions: Any) -> Replay:
    """Adds ``[N, ...]`` transitions over the oldest ones; N divides the capacity, so a block never wraps around.

    Raises TypeError for numbers that the storage cannot hold exactly, such as fractions in a ring of whole numbers.
    """
    count = jax.tree.leaves(transitions)[0].shape[0]
    first = replay.added % jax.tree.leaves(replay.storage)[0].shape[0]

    def write(ring: Array, rows: Array) -> Array:
        if jnp.promote_types(rows.dtype, ring.dtype) != ring.dtype:
            raise TypeError(f"a replay of {ring.dtype} cannot hold {rows.dtype}")
        return jax.lax.dynamic_update_slice_in_dim(ring, rows.astype(ring.dtype), first, axis=0)

    return Replay(jax.tree.map(write, replay.storage, transitions), replay.added + count)


def sample(replay: Replay, key: Key, shape: tuple[int, ...]) -> Any:
    """Transitions drawn uniformly with replacement, ``[*shape, ...]``."""
    size = jnp.minimum(replay.added, jax.tree.leaves(replay.storage)[0].shape[0])
    index = jax.random.randint(key, shape, 0, size)
    return jax.tree.map(lambda ring: ring[index], replay.storage)
