"""Prioritised replay (Schaul et al. 2016, arXiv 1511.05952): places drawn in proportion to a priority.

P(i) = p_i / Σ p. New places get the largest priority so far; after learning from one its priority is (|error| + ε)^α. A
place from which nothing can be learned has priority 0 and is never drawn.

Departure: instead of the paper's sum tree, the priorities lie in about √N blocks of about √N, beside the blocks' sums.
A block is drawn first, then a place within it, both by inverting the cumulative sum. A block's sum is computed anew
whenever one of its priorities changes, so that rounding errors never build up.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.ops.distributions import invert
from puzzlebox.types import Array, Key

SMALLEST = 1e-6  # ε


class Priorities(NamedTuple):
    """``value [blocks, width]``, ``total [blocks]`` its row sums, ``largest []`` that was ever given."""

    value: Array
    total: Array
    largest: Array


def empty(size: int) -> Priorities:
    """``size`` places, none of which can be drawn."""
    width = math.isqrt(max(size - 1, 0)) + 1
    blocks = -(-size // width)
    return Priorities(jnp.zeros((blocks, width)), jnp.zeros(blocks), jnp.float32(1))


def put(priorities: Priorities, place: Array, value: Array) -> Priorities:
    """Sets the priorities at ``place [N]`` to ``value [N]``; negative places are skipped."""
    blocks, width = priorities.value.shape
    block = jnp.where(place < 0, blocks, place // width)
    values = priorities.value.at[block, place % width].set(value, mode="drop")
    total = priorities.total.at[block].set(values[jnp.minimum(block, blocks - 1)].sum(axis=-1), mode="drop")
    return Priorities(values, total, jnp.maximum(priorities.largest, value.max()))


def draw_places(priorities: Priorities, key: Key, count: int) -> tuple[Array, Array]:
    """``count`` places in proportion to p, with replacement, and their p: int32 and float32 ``[N]``.

    Stratified as in the paper's appendix B.2.1: Σ p is cut into ``count`` equal parts and one place drawn from each.
    """
    uniform = jax.random.uniform(key, (2, count))
    share = (jnp.arange(count) + uniform[0]) / count
    block = invert(jnp.broadcast_to(priorities.total, (count, priorities.total.size)), share)
    inside = invert(priorities.value[block], uniform[1])
    return block * priorities.value.shape[1] + inside, priorities.value[block, inside]


def importance_weights(priority: Array, exponent: ArrayLike) -> Array:
    """w_i = (N P(i))^−β / max_j w_j = (p_i / min_j p_j)^−β, ``[N]``; 0 where p is 0. Source: section 3.4."""
    there = priority > 0
    smallest = jnp.where(there, priority, jnp.inf).min()
    ratio = jnp.where(there, priority, 1.0) / jnp.where(jnp.isfinite(smallest), smallest, 1.0)
    return jnp.where(there, ratio ** -jnp.asarray(exponent, jnp.float32), 0.0)


def from_errors(error: Array, exponent: ArrayLike) -> Array:
    """p = (|error| + ε)^α, ``[N]``. Source: section 3.3, the proportional form."""
    return (jnp.abs(error) + SMALLEST) ** jnp.asarray(exponent, jnp.float32)


def after_adding(
    priorities: Priorities, added: Array, shape: tuple[int, int], count: int, margins: tuple[int, int]
) -> Priorities:
    """The priorities after ``count`` rows were added to a ring of ``shape`` (rows, worlds); ``added`` counts all ever.

    ``margins`` (oldest, newest): so many rows at either end of the ring cannot be drawn, because their stack of frames
    or their n-step return would reach beyond it. Those get 0, and the rows that have just left the newer margin get the
    largest priority so far.
    """
    # All in rows counted from the first ever added; -1 marks those to be skipped.
    rows, worlds = shape

    # the rows that change, counted from the first ever added (−1: none): those whose steps are all there now, those
    # whose steps are not all there yet, and those whose older frames were overwritten
    oldest = jnp.maximum(added - rows, 0)
    ready = added - margins[1] - 1 - jnp.arange(count)
    ready = jnp.where(ready >= oldest + margins[0], ready, -1)
    waiting = added - 1 - jnp.arange(margins[1])
    expired = oldest + jnp.arange(margins[0])
    row = jnp.concatenate([ready, waiting, expired])

    # every row is a place in each world
    value = jnp.concatenate([jnp.full(count, priorities.largest), jnp.zeros(margins[0] + margins[1])])
    place = jnp.where(row < 0, -1, row % rows * worlds)[:, None] + jnp.where(row[:, None] < 0, 0, jnp.arange(worlds))
    return put(priorities, place.reshape(-1), jnp.repeat(value, worlds))
