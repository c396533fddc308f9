"""Averages over the entries that count: ``mask`` is True where an entry counts.

Whatever stands in the other entries, infinities and NaN included, changes neither a result nor its gradient with
respect to ``x``. A mean over nothing is 0, so that a batch of padding alone leaves a loss finite.
"""

from __future__ import annotations

import jax.numpy as jnp

from puzzlebox.types import Array

Axis = int | tuple[int, ...] | None


def masked_sum(x: Array, mask: Array, axis: Axis = None) -> Array:
    """Σ x over the entries that count; ``mask`` has the shape of ``x`` or broadcasts to it."""
    return jnp.sum(jnp.where(mask, x, 0.0), axis=axis)


def masked_mean(x: Array, mask: Array, axis: Axis = None) -> Array:
    """The mean over the entries that count, 0 where none does; ``mask`` broadcasts to ``x``.

    Token mean: ``masked_mean(loss, mask)``. Sequence mean: ``masked_mean(loss, mask, axis=-1).mean()``.
    """
    count = jnp.sum(jnp.broadcast_to(jnp.asarray(mask, bool), x.shape), axis=axis)
    return masked_sum(x, mask, axis) / jnp.maximum(count, 1)


def normalise(x: Array, mask: Array | None = None, axis: Axis = None, epsilon: float = 1e-8) -> Array:
    """(x − mean) / (std + ε), the standard deviation with 1/n; entries that do not count become 0.

    Shapes: ``x [...]``, ``mask`` broadcasts to it; ``axis`` as in NumPy, all axes if None. Whitening of advantages:
    ``normalise(advantage)`` or ``normalise(advantage, mask)``.
    """
    if mask is None:
        centred = x - jnp.mean(x, axis=axis, keepdims=True)
        return centred / (jnp.std(x, axis=axis, keepdims=True) + epsilon)
    axes = tuple(range(x.ndim)) if axis is None else axis
    centred = jnp.where(mask, x - jnp.expand_dims(masked_mean(x, mask, axes), axes), 0.0)
    variance = masked_mean(jnp.square(centred), mask, axes)
    return centred / (jnp.sqrt(jnp.expand_dims(variance, axes)) + epsilon)
