"""Values as classes: a network that classifies learns values of any magnitude with gradients of one magnitude.

Sources: Pohlen et al. 2018 (arXiv 1805.11593) for the transform h, Schrittwieser et al. 2020 (arXiv 1911.08265),
appendix F, for categories over it. Departure: the paper's atoms lie at −300, −299, …, 300; here they lie evenly between
−h(limit) and h(limit), so that a game whose values stay within ±1 spends all of them there.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.types import Array

SLOPE = 0.001  # ε, keeps h from growing flat


def squash(x: Array) -> Array:
    """h(x) = sign(x) (√(|x| + 1) − 1) + ε x with ε = 0.001, element by element."""
    return jnp.sign(x) * (jnp.sqrt(jnp.abs(x) + 1) - 1) + SLOPE * x


def unsquash(y: Array) -> Array:
    """h⁻¹(y) = sign(y) (((√(1 + 4ε (|y| + 1 + ε)) − 1) / 2ε)² − 1), element by element.

    Computed as 2z / (1 + √(1 + 4εz)) with z = |y| + 1 + ε in place of the inner quotient, which is the same number
    without the difference of two nearly equal ones.
    """
    z = jnp.abs(y) + 1 + SLOPE
    root = 2 * z / (1 + jnp.sqrt(1 + 4 * SLOPE * z))
    return jnp.sign(y) * (jnp.square(root) - 1)


def atoms(limit: ArrayLike, num_bins: int) -> Array:
    """The values that the classes stand for, in units of h: float32 ``[num_bins]`` from −h(limit) to h(limit)."""
    end = squash(jnp.asarray(limit, jnp.float32))
    return jnp.linspace(-end, end, num_bins)


def two_hot(x: Array, limit: ArrayLike, num_bins: int) -> Array:
    """Probabilities ``[..., num_bins]`` on the two atoms next to h(x) whose mean is h(x); they sum to 1.

    ``x [...]`` in its own units; beyond ±limit it counts as ±limit.
    """
    end = squash(jnp.asarray(limit, jnp.float32))
    place = (jnp.clip(squash(x), -end, end) + end) / (2 * end) * (num_bins - 1)
    return jax.nn.relu(1 - jnp.abs(place[..., None] - jnp.arange(num_bins)))


def expected_value(logits: Array, limit: ArrayLike) -> Array:
    """h⁻¹(Σ p_i atom_i) with p = softmax(logits): ``[..., num_bins]`` -> ``[...]``, in units of x."""
    return unsquash(jax.nn.softmax(logits) @ atoms(limit, logits.shape[-1]))
