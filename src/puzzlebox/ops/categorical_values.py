"""Values as distributions over fixed returns: C51 (Bellemare, Dabney and Munos 2017, arXiv 1707.06887).

The return of a state and action is a random variable with ``N`` possible values, the atoms z_0 … z_{N−1}, evenly apart
from −limit to limit. A network gives their probabilities.

Departure: the paper's V_MIN and V_MAX are −limit and limit.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.types import Array


def atoms(limit: float, num_atoms: int) -> Array:
    """The atoms z, the possible returns: float32 ``[N]``, evenly spaced from −limit to limit."""
    return jnp.linspace(-limit, limit, num_atoms)


def project(probs: Array, values: Array, limit: float) -> Array:
    """A distribution over any ``values`` as one over the atoms with the same mean, where it is within ±limit.

    m_i = Σ_j p_j max(0, 1 − |clip(v_j) − z_i| / Δz): every value's probability goes to its two neighbours among the
    atoms, the nearer getting more. ``probs`` and ``values`` ``[..., N]`` -> ``[..., N]``. Source: algorithm 1.
    """
    num_atoms = probs.shape[-1]
    place = (jnp.clip(values, -limit, limit) + limit) / (2 * limit) * (num_atoms - 1)
    share = jax.nn.relu(1 - jnp.abs(place[..., :, None] - jnp.arange(num_atoms)))
    return jnp.einsum("...j,...ji->...i", probs, share)


def categorical_target(reward: Array, next_probs: Array, terminated: Array, discount: ArrayLike, limit: float) -> Array:
    """The distribution of r + γ Z(s', a'), on the atoms; of r alone after a termination. No gradient flows into it.

    ``next_probs [..., N]``, the others ``[...]`` -> ``[..., N]``. Source: section 4 and algorithm 1.
    """
    factor = jnp.where(terminated, 0.0, discount)
    values = reward[..., None] + factor[..., None] * atoms(limit, next_probs.shape[-1])
    return jax.lax.stop_gradient(project(next_probs, values, limit))


def cross_entropy(log_probs: Array, target: Array) -> Array:
    """−Σ_i m_i log p_i, ``[..., N]`` twice -> ``[...]``: the loss of C51."""
    return -jnp.sum(target * log_probs, axis=-1)
