"""Quantities that change over training, such as ε or a learning rate: functions of the number of steps taken.

Each returns a function step -> value, which is what Optax calls a schedule, so an optimiser takes it as it is.

Departure: `optax.linear_schedule` and `optax.exponential_decay` decide with a Python ``if`` on their arguments and so
refuse swept (traced) ones; here every argument may be traced. A constant needs no function: `optax.constant_schedule`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.types import Array

Schedule = Callable[[ArrayLike], Array]


def linear(start: ArrayLike, end: ArrayLike, steps: ArrayLike) -> Schedule:
    """start + (end − start) · step / steps, and ``end`` from ``steps`` on; with ``steps`` 0 it is ``end`` at once."""
    first, last = jnp.asarray(start), jnp.asarray(end)
    return lambda step: first + (last - first) * _fraction(step, steps)


def exponential(start: ArrayLike, end: ArrayLike, steps: ArrayLike) -> Schedule:
    """start · (end / start)^(step / steps), and ``end`` from ``steps`` on; both must be above 0.

    Every step multiplies by the same factor. With ``steps`` 0 it is ``end`` at once.
    """
    first, last = jnp.asarray(start), jnp.asarray(end)
    return lambda step: first * jnp.power(last / first, _fraction(step, steps))


def _fraction(step: ArrayLike, steps: ArrayLike) -> Array:
    step, steps = jnp.asarray(step), jnp.asarray(steps)
    return jnp.where(steps > 0, jnp.clip(step / jnp.maximum(steps, 1), 0.0, 1.0), 1.0)
