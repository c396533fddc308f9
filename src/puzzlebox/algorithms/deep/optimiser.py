"""The one optimiser the deep agents share: Adam on clipped gradients, with a learning rate that may fall to zero."""

from __future__ import annotations

import optax

from puzzlebox.ops import schedules


def adam(learning_rate: float, max_grad_norm: float, anneal_over: int | None = None) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015, ε 1e-5) after clipping the global gradient norm.

    ``learning_rate`` may be traced (a swept value). With ``anneal_over`` it falls linearly to zero in that
    many updates.
    """
    rate = learning_rate if anneal_over is None else schedules.linear(learning_rate, 0.0, anneal_over)
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optax.adam(rate, eps=1e-5))
