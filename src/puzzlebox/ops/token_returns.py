"""Advantages in texts: only tokens that the policy chose are time steps; prompts and tool outputs are none."""

from __future__ import annotations

import jax.numpy as jnp

from puzzlebox.ops.returns import gae
from puzzlebox.types import Array


def token_gae(reward: Array, value: Array, ended: Array, mask: Array, discount: float, gae_lambda: float) -> Array:
    """Generalised advantage estimates where ``mask`` is True, 0 elsewhere; all arrays are ``[B, T]``.

    The time step after a token is the next token that the policy chose, whatever a tool or a user said between them. A
    completion ends with its last chosen token, cut off or not: there ``ended`` is True, and nothing is bootstrapped.
    Source: Schulman et al. 2016, arXiv 1506.02438.
    """
    chosen = jnp.argsort(~mask, axis=1, stable=True)  # a row's time steps first, in their order

    def pick(x: Array) -> Array:
        return jnp.take_along_axis(x, chosen, axis=1).T

    value = pick(value)
    next_value = jnp.concatenate([value[1:], jnp.zeros_like(value[:1])])
    stops = pick(ended)
    advantage = gae(pick(reward), value, next_value, stops, jnp.zeros_like(stops), discount, gae_lambda)
    rows = jnp.arange(len(mask))[:, None]
    return jnp.where(mask, jnp.zeros(mask.shape).at[rows, chosen].set(advantage.T), 0.0)
