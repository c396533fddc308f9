"""A branch that stays a branch under `vmap`, where `lax.cond` computes both sides and chooses between the results."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from puzzlebox.types import Array

T = TypeVar("T")


def when(condition: Array, f: Callable[[T], T], x: T) -> T:
    """``f(x)`` if ``condition`` (bool []) is True, else ``x``; both have the same shapes. A loop of at most one round.

    Under `vmap` ``f`` is computed for all if the condition is True for any of the batch, and for none otherwise. It
    has no reverse-mode gradient.
    """
    once = jax.lax.while_loop(lambda carry: carry[0], lambda carry: (jnp.bool_(False), f(carry[1])), (condition, x))
    return once[1]
