"""A branch that stays one under `vmap`: `lax.cond` then computes both sides and chooses, which wastes the dear one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from puzzlebox.types import Array

T = TypeVar("T")


def when(condition: Array, f: Callable[[T], T], x: T) -> T:
    """``f(x)`` where ``condition`` (bool []) is True, else ``x``: a loop of at most one round.

    Under `vmap` ``f`` is computed if the condition is True for any of the batch, and not at all otherwise.
    """
    once = jax.lax.while_loop(lambda carry: carry[0], lambda carry: (jnp.bool_(False), f(carry[1])), (condition, x))
    return once[1]
