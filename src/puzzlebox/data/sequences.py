"""Stretches of steps drawn from a replay whose rows are steps of ``B`` worlds, in the order they were played.

`replay.sample` forgets which step followed which; to unroll a model, or to sum several rewards, one needs to know. The
storage has leaves ``[rows, B, ...]``, a ring in time.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from puzzlebox.data.replay import Replay
from puzzlebox.types import Array, Key


def draw(replay: Replay, key: Key, count: int, length: int) -> tuple[Array, Array]:
    """Where ``count`` stretches of ``length`` rows begin, uniformly among those that are there: (row, world), ``[N]``.

    ``row`` counts from the first row ever added. It is 0 or above also where fewer than ``length`` rows are there.
    """
    rows, worlds = jax.tree.leaves(replay.storage)[0].shape[:2]
    oldest = jnp.maximum(replay.added - rows, 0)
    newest = jnp.maximum(replay.added - length, oldest)
    place = jax.random.randint(key, (count,), oldest * worlds, (newest + 1) * worlds)
    return place // worlds, place % worlds


def read(steps: Any, row: Array, world: Array, length: int) -> Any:
    """The stretches that begin there, leaves ``[length, N, ...]``; ``steps`` is a storage or a part of one."""
    places = (row + jnp.arange(length)[:, None]) % jax.tree.leaves(steps)[0].shape[0]
    return jax.tree.map(lambda ring: ring[places, world], steps)
