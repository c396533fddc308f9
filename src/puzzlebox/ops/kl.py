"""Estimators of KL(π ‖ π_ref) from actions sampled from π, element by element, and a controller of its weight.

With d = log π(a|s) − log π_ref(a|s) and a ∼ π:

    estimator          mean over a ∼ π    mean of its gradient, used as a loss
    k1 = d             KL(π ‖ π_ref)      0: it only adds noise
    k2 = d²/2          biased             ∇ KL(π ‖ π_ref), the right one
    k3 = e^−d − 1 + d  KL(π ‖ π_ref)      ∇ KL(π_ref ‖ π), the other direction

The third column is what a trainer does: sample, then differentiate the estimator at the sampled action, which ignores
that π also decides what is sampled. k1 is right inside the reward (r − β k1), where the policy gradient accounts for
that. `measure_estimator` computes both columns exactly where everything can be enumerated.

All of this holds for a single choice, or with d summed over a whole completion. Summed token by token, k1 and k3 keep
their means, but as losses none has the completion's gradient: a token is not charged for the KL that it leads to later.

Sources: Schulman 2020, "Approximating KL divergence"; Ziegler et al. 2019 (controller); Tang & Munos 2025, "On a few
pitfalls in KL divergence gradient estimation for RL" (gradients). The exact KL of two distributions over actions is
`distributions.Categorical.kl`; `policy_losses.approximate_kl` is k3 turned round, for actions of the old policy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.ops.language_mdp import expected, sequence_kl
from puzzlebox.types import Array


def k1(log_prob: Array, reference_log_prob: Array) -> Array:
    """d = log π − log π_ref, ``[...]``. Unbiased, of either sign, noisy; as a loss its mean gradient is 0."""
    return log_prob - reference_log_prob


def k2(log_prob: Array, reference_log_prob: Array) -> Array:
    """d² / 2, ``[...]``. Never negative, biased by O(d³); as a loss on π's own actions its gradient is the KL's."""
    return 0.5 * jnp.square(log_prob - reference_log_prob)


def k3(log_prob: Array, reference_log_prob: Array) -> Array:
    """e^−d − 1 + d, ``[...]``. Unbiased and never negative; as a loss it has the gradient of KL(π_ref ‖ π).

    GRPO's penalty (Shao et al. 2024). Where π has become much less likely than the reference it explodes.
    """
    log_ratio = log_prob - reference_log_prob
    return jnp.expm1(-log_ratio) + log_ratio


def adaptive_kl_coef(coef: ArrayLike, kl: ArrayLike, target: ArrayLike, horizon: ArrayLike, batch: ArrayLike) -> Array:
    """The next weight of the KL penalty: β (1 + e n/h) with e = clip(KL/target − 1, −0.2, 0.2).

    ``kl`` and ``target`` in nats per completion; ``batch`` is n, the completions since the last call; ``horizon`` is h,
    the number of them over which the weight moves by at most a fifth or so. Source: Ziegler et al. 2019, whose gain
    K_β = 0.1 is n/h here.
    """
    error = jnp.clip(kl / jnp.asarray(target) - 1.0, -0.2, 0.2)
    return jnp.asarray(coef) * (1.0 + error * batch / jnp.asarray(horizon))


class EstimatorBias(NamedTuple):
    """What a KL estimator gives on average, beside the truth; gradients are with respect to the parameters.

    ``mean_gradient`` is that of the mean; ``loss_gradient`` the mean of the gradients at sampled completions, which is
    what a trainer gets that uses the estimator as a loss.
    """

    mean: Array
    variance: Array
    mean_gradient: Any
    loss_gradient: Any
    kl: Array
    kl_gradient: Any


def measure_estimator(
    estimator: Callable[[Array, Array], Array],
    log_probs: Callable[[Any], Array],
    parameters: Any,
    reference_log_prob: Array,
) -> EstimatorBias:
    """The exact bias of an estimator of KL(π ‖ π_ref), in value and in gradient, with completions sampled from π.

    ``estimator``: `k1`, `k2`, `k3` or another of the same form. ``log_probs(parameters)`` and ``reference_log_prob``
    are ``[N]``, of all completions, or ``[N, L]``, token by token with 0 where there is none (as from
    `language_mdp.token_log_probs`); the estimator's terms are then summed over the tokens.
    """

    def whole(terms: Array) -> Array:
        return terms if terms.ndim == 1 else terms.sum(-1)

    def mean(parameters: Any) -> Array:
        log_prob = log_probs(parameters)
        return expected(whole(log_prob), whole(estimator(log_prob, reference_log_prob)))

    def loss(parameters: Any) -> Array:
        log_prob = log_probs(parameters)
        sampling = jax.lax.stop_gradient(whole(log_prob))
        return expected(sampling, whole(estimator(log_prob, reference_log_prob)))

    def kl(parameters: Any) -> Array:
        return sequence_kl(whole(log_probs(parameters)), whole(reference_log_prob))

    log_prob = log_probs(parameters)
    average, mean_gradient = jax.value_and_grad(mean)(parameters)
    deviation = whole(estimator(log_prob, reference_log_prob)) - average
    return EstimatorBias(
        average,
        expected(whole(log_prob), jnp.square(deviation)),
        mean_gradient,
        jax.grad(loss)(parameters),
        *jax.value_and_grad(kl)(parameters),
    )
