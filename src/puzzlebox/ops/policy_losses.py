"""Policy losses, element by element: the caller decides how to average (see `masks`).

Sources: Williams 1992 (REINFORCE), Schulman et al. 2017 (PPO). An entropy bonus is one term of the caller's sum:
``loss - entropy_coef * distribution.entropy()``.

Departures: the papers maximise an objective, these are losses to minimise, so every sign is turned.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.types import Array


def policy_gradient_loss(log_prob: Array, advantage: Array) -> Array:
    """L = −log π(a|s) · A, whose gradient is the policy gradient.

    Shapes: all ``[...]``; no gradient flows into ``advantage``. Source: Williams 1992; Sutton & Barto (2018), eq. 13.8.
    """
    return -log_prob * jax.lax.stop_gradient(advantage)


def clipped_policy_loss(
    log_prob: Array, old_log_prob: Array, advantage: Array, clip: ArrayLike, clip_high: ArrayLike | None = None
) -> Array:
    """L = −min(ρ A, clip(ρ, 1 − ε, 1 + ε_high) A) with ρ = π(a|s) / π_old(a|s).

    Shapes: all ``[...]``; ``clip`` is ε, ``clip_high`` is ε_high, the same as ε if None. No gradient flows into
    ``old_log_prob`` and ``advantage``. Source: Schulman et al. 2017, "Proximal policy optimization algorithms", eq. 7;
    a higher upper bound, which leaves unlikely actions more room to grow, is Yu et al. 2025 (DAPO).
    """
    clip_high = clip if clip_high is None else clip_high
    old_log_prob, advantage = jax.lax.stop_gradient((old_log_prob, advantage))
    ratio = jnp.exp(log_prob - old_log_prob)
    clipped = jnp.clip(ratio, 1.0 - jnp.asarray(clip), 1.0 + jnp.asarray(clip_high))
    return -jnp.minimum(ratio * advantage, clipped * advantage)


def is_clipped(log_prob: Array, old_log_prob: Array, clip: ArrayLike, clip_high: ArrayLike | None = None) -> Array:
    """1.0 where ρ < 1 − ε or ρ > 1 + ε_high, else 0.0; the mean is the clip fraction that PPO programs report."""
    drift = jnp.expm1(log_prob - old_log_prob)
    high = clip if clip_high is None else clip_high
    return ((drift < -jnp.asarray(clip)) | (drift > high)).astype(jnp.float32)


def approximate_kl(log_prob: Array, old_log_prob: Array) -> Array:
    """(ρ − 1) − log ρ: never negative, and its mean over actions of the old policy is KL(π_old ‖ π).

    Shapes: ``[...]``. For reporting and early stopping; as a loss its gradient is not the KL's. Source: Schulman 2020,
    "Approximating KL divergence", the estimator k3.
    """
    log_ratio = log_prob - old_log_prob
    return jnp.expm1(log_ratio) - log_ratio
