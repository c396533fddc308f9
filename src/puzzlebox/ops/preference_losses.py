"""Losses from comparisons, element by element: the caller decides how to average (see `masks`).

The direct losses compare a policy with a reference. Their inputs are log-ratios of whole completions, in nats,

    log_ratio = log π(y|x) − log π_ref(y|x),    Δ = log_ratio(chosen) − log_ratio(rejected),

and β · log_ratio is the reward that the policy is optimal for, up to a constant of the prompt (its implicit reward).
`bradley_terry_loss` trains a reward model and takes its scores.

Sources: Bradley & Terry 1952; Rafailov et al. 2023 (DPO); Azar et al. 2023 (IPO); Ethayarajh et al. 2024 (KTO).
SPIN (Chen et al. 2024) needs no loss of its own: it is `dpo_loss` with chosen = the demonstration, rejected = a sample
of the previous iterate, and that iterate as the reference.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.errors import UsageError
from puzzlebox.ops.masks import masked_mean
from puzzlebox.types import Array, Metrics


def dpo_loss(chosen: Array, rejected: Array, beta: ArrayLike, label_smoothing: ArrayLike = 0.0) -> Array:
    """L = −(1 − ε) log σ(βΔ) − ε log σ(−βΔ); with ε = 0 it is DPO, ln 2 where policy and reference agree.

    Shapes: log-ratios ``[B]`` -> ``[B]``. ``label_smoothing`` is ε, the share of labels taken to be wrong
    ("conservative DPO"): the loss then has a minimum at σ(βΔ) = 1 − ε. Source: Rafailov et al. 2023, eq. 7; Mitchell
    2023, "A note on DPO with noisy preferences".
    """
    margin = beta * (chosen - rejected)
    smoothing = jnp.asarray(label_smoothing)
    return -(1.0 - smoothing) * jax.nn.log_sigmoid(margin) - smoothing * jax.nn.log_sigmoid(-margin)


def robust_dpo_loss(chosen: Array, rejected: Array, beta: ArrayLike, label_smoothing: ArrayLike) -> Array:
    """L = (−(1 − ε) log σ(βΔ) + ε log σ(−βΔ)) / (1 − 2ε): its mean over labels flipped with chance ε is DPO's loss.

    Shapes: log-ratios ``[B]`` -> ``[B]``; can be negative. Raises UsageError unless 0 ≤ ε < ½ (checked where ε is a
    plain number). Source: Chowdhury et al. 2024, "Provably robust DPO".
    """
    if isinstance(label_smoothing, int | float) and not 0.0 <= label_smoothing < 0.5:
        raise UsageError(f"label_smoothing is {label_smoothing}; the robust loss needs 0 <= label_smoothing < 0.5")
    margin = beta * (chosen - rejected)
    smoothing = jnp.asarray(label_smoothing)
    kept = (1.0 - smoothing) * jax.nn.log_sigmoid(margin)
    return (smoothing * jax.nn.log_sigmoid(-margin) - kept) / (1.0 - 2.0 * smoothing)


def hinge_loss(chosen: Array, rejected: Array, beta: ArrayLike) -> Array:
    """L = max(0, 1 − βΔ): a pair told apart by 1/β teaches nothing more.

    Shapes: log-ratios ``[B]`` -> ``[B]``. Source: Zhao et al. 2023 (SLiC-HF), normalised by the reference as in Liu et
    al. 2023 (RSO).
    """
    return jnp.maximum(0.0, 1.0 - beta * (chosen - rejected))


def ipo_loss(chosen: Array, rejected: Array, beta: ArrayLike) -> Array:
    """L = (Δ − 1/(2β))²: the gap is pulled to a fixed size, so certain labels do not drive it to infinity.

    Shapes: log-ratios ``[B]`` -> ``[B]``; ``beta`` is the paper's τ. Source: Azar et al. 2023. Two conventions are in
    use: log-ratios summed over the tokens, as in the paper, or averaged over them, as in TRL, where the total gap asked
    for grows with the length. The caller passes the one it means; the same β is not equally strong in both.
    """
    return jnp.square(chosen - rejected - 0.5 / jnp.asarray(beta))


def kto_loss(
    log_ratio: Array,
    label: Array,
    baseline: ArrayLike,
    beta: ArrayLike,
    desirable_weight: ArrayLike = 1.0,
    undesirable_weight: ArrayLike = 1.0,
) -> Array:
    """L = λ_D (1 − σ(β(log_ratio − z))) where the label is good, λ_U (1 − σ(β(z − log_ratio))) where it is bad.

    Shapes: ``log_ratio [B]``, ``label`` bool ``[B]``, ``baseline`` z from `kto_baseline`, no gradient into it. TRL's
    documentation advises λ_D n_D / (λ_U n_U) between 1 and 4/3, n the numbers of good and bad examples. Source:
    Ethayarajh et al. 2024.
    """
    gain = beta * (log_ratio - jax.lax.stop_gradient(baseline))
    good = desirable_weight * jax.nn.sigmoid(-gain)
    return jnp.where(label, good, undesirable_weight * jax.nn.sigmoid(gain))


def kto_baseline(mismatched_log_ratio: Array) -> Array:
    """z = max(0, mean log-ratio), no gradient: a rough KL(π ‖ π_ref) from completions of other prompts.

    Shapes: ``[B]``, log π(y'|x) − log π_ref(y'|x) where y' answers another prompt, the batch's next one -> ``[]``.
    Source: Ethayarajh et al. 2024.
    """
    return jax.lax.stop_gradient(jnp.maximum(0.0, jnp.mean(mismatched_log_ratio)))


def bradley_terry_loss(chosen_score: Array, rejected_score: Array, margin: ArrayLike = 0.0) -> Array:
    """L = −log σ(s_chosen − s_rejected − margin): P(chosen beats rejected) = σ(difference of scores).

    Shapes: ``[B]``; ``margin`` is how much better the chosen one was said to be, a number or ``[B]``. Source: Bradley &
    Terry 1952; Ouyang et al. 2022, eq. 1; the margin is Touvron et al. 2023 (Llama 2), eq. 2.
    """
    return -jax.nn.log_sigmoid(chosen_score - rejected_score - margin)


def centring_loss(chosen_score: Array, rejected_score: Array) -> Array:
    """(s_chosen + s_rejected)²: a term for the caller's sum that fixes the scores' free constant near 0.

    Shapes: ``[B]``. Comparisons say nothing about that constant. Source: Eisenstein et al. 2023, "Helping or herding?".
    """
    return jnp.square(chosen_score + rejected_score)


def preference_metrics(chosen: Array, rejected: Array, beta: ArrayLike, mask: ArrayLike = True) -> Metrics:
    """Means over the pairs where ``mask``, under the names in common use; the reward is β · log_ratio, inputs ``[B]``.

    ``rewards/accuracies`` is the share of pairs with chosen above rejected; a tie counts as wrong.
    """
    counts, strength = jnp.asarray(mask), jnp.asarray(beta)
    return {
        "rewards/chosen": masked_mean(strength * chosen, counts),
        "rewards/rejected": masked_mean(strength * rejected, counts),
        "rewards/margins": masked_mean(strength * (chosen - rejected), counts),
        "rewards/accuracies": masked_mean((chosen > rejected).astype(jnp.float32), counts),
    }
