"""Sequences of steps drawn from a replay whose rows are steps of ``B`` worlds, in the order they were played.

`replay.sample` forgets which step followed which; to unroll a model, or to sum several rewards, one needs to know. The
storage has leaves ``[rows, B, ...]``, a ring in time.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from puzzlebox.data.replay import Replay
from puzzlebox.types import Array, Key


def draw_starts(replay: Replay, key: Key, count: int, length: int) -> tuple[Array, Array]:
    """Where N = ``count`` sequences of ``length`` rows begin, drawn uniformly: (row, world), int32 ``[N]`` each.

    ``row`` counts from the first row ever added. As long as the replay has fewer than ``length`` rows the sequences
    begin at its oldest row and run beyond the newest: the caller waits until there is more.
    """
    rows, worlds = jax.tree.leaves(replay.storage)[0].shape[:2]
    oldest = jnp.maximum(replay.added - rows, 0)
    newest = jnp.maximum(replay.added - length, oldest)
    place = jax.random.randint(key, (count,), oldest * worlds, (newest + 1) * worlds)
    return place // worlds, place % worlds


def read(steps: Any, row: Array, world: Array, length: int) -> Any:
    """The sequences that begin there, leaves ``[length, N, ...]``; ``steps`` is a replay's storage or a part of it."""
    places = (row + jnp.arange(length)[:, None]) % jax.tree.leaves(steps)[0].shape[0]
    return jax.tree.map(lambda ring: ring[places, world], steps)
