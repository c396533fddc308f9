"""Advantages from several completions of one prompt, ratios of whole sequences, and three ways to average over tokens.

A group is ``group_size`` consecutive rows. Rewards and advantages are one number per row, ``[B]``. Sources: Shao et al.
2024, DeepSeekMath (GRPO); Liu et al. 2025 (Dr. GRPO); Yu et al. 2025 (DAPO); Ahmadian et al. 2024 (RLOO); Zheng et al.
2025 (GSPO). Each combines an advantage, a ratio for `policy_losses.clipped_policy_loss` and a mean:

    GRPO       group_advantages             token ratio              sequence_mean
    Dr. GRPO   group_advantages, no scale   token ratio              fixed_length_mean
    DAPO       group_advantages             token ratio, clip_high   token_mean, groups of `zero_std` dropped
    GSPO       group_advantages             sequence_log_ratio       sequence_mean
    RLOO       leave_one_out_advantages     policy_gradient_loss on the sum of a row's log-probs
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from puzzlebox.errors import UsageError
from puzzlebox.ops.masks import masked_mean, masked_sum
from puzzlebox.types import Array


def group_advantages(reward: Array, group_size: int, scale: bool = True, epsilon: float = 1e-4) -> Array:
    """A_i = (r_i − mean) / (std + ε) over the group, or r_i − mean without ``scale``.

    Shapes: ``[B]`` -> ``[B]``; exactly 0 in a group of equal rewards. Source: Shao et al. 2024; without
    ``scale`` Liu et al. 2025, which keeps the gradient's weight from growing where a prompt is nearly always or nearly
    never solved. The papers do not say which std: here it is the one with 1/(G − 1), as in TRL.

    Raises UsageError for groups smaller than 2 or a batch that they do not divide.
    """
    centred = _centred(reward, group_size)
    if scale:
        std = jnp.sqrt(jnp.sum(jnp.square(centred), axis=-1, keepdims=True) / (group_size - 1))
        centred = centred / (std + epsilon)
    return centred.reshape(-1)


def leave_one_out_advantages(reward: Array, group_size: int) -> Array:
    """A_i = r_i − the mean of the others' rewards, a baseline that does not depend on i.

    Shapes: ``[B]`` -> ``[B]``. Equals G/(G − 1) (r_i − mean). Source: Kool et al. 2019; Ahmadian et al. 2024.
    Raises UsageError as `group_advantages`.
    """
    return (_centred(reward, group_size) * (group_size / (group_size - 1))).reshape(-1)


def zero_std(reward: Array, group_size: int) -> Array:
    """True where all rewards of a row's group are equal, so that the group teaches nothing; bool ``[B]``.

    DAPO drops these rows (Yu et al. 2025); the mean is the metric ``frac_reward_zero_std``.
    """
    groups = _groups(reward, group_size)
    equal = jnp.all(groups == groups[:, :1], axis=-1, keepdims=True)
    return jnp.broadcast_to(equal, groups.shape).reshape(-1)


def sequence_log_ratio(log_prob: Array, old_log_prob: Array, mask: Array) -> Array:
    """log s_i, the mean of log π/π_old over a row's tokens, at every token; exp of it is GSPO's ratio.

        log s_{i,t} = sg(log s_i) + log π_t − sg(log π_t)

    Shapes: ``[B, T]`` -> ``[B, T]``; sg stops the gradient, so each token moves its own log-prob alone. Goes into
    ``clipped_policy_loss(log_ratio, zeros, advantage, clip)``; with `sequence_mean` and one advantage per row, value
    and gradient are those of the loss on s_i itself. Source: Zheng et al. 2025 (GSPO-token); it clips 3e-4 below 1 and
    4e-4 above.
    """
    mean = masked_mean(log_prob - old_log_prob, mask, axis=-1)[..., None]
    return jax.lax.stop_gradient(mean - log_prob) + log_prob


def token_mean(loss: Array, mask: Array) -> Array:
    """Every token weighs the same, so long rows weigh more: Σ loss / number of tokens. ``[B, T]`` -> ``[]``.

    Source: Yu et al. 2025 (DAPO).
    """
    return masked_mean(loss, mask)


def sequence_mean(loss: Array, mask: Array) -> Array:
    """Every row weighs the same: the mean over its tokens, then over rows. ``[B, T]`` -> ``[]``.

    Rows without a token that counts are left out. Source: Shao et al. 2024 (GRPO); it makes a long wrong answer
    cheaper per token than a short one.
    """
    return masked_mean(masked_mean(loss, mask, axis=-1), jnp.any(mask, axis=-1))


def fixed_length_mean(loss: Array, mask: Array, max_length: int) -> Array:
    """Σ loss / (rows · max_length): a token's weight depends on nothing that was sampled. ``[B, T]`` -> ``[]``.

    Rows without a token that counts are left out. ``max_length`` is the limit of generation, not the longest row.
    Source: Liu et al. 2025 (Dr. GRPO).
    """
    return masked_mean(masked_sum(loss, mask, axis=-1) / max_length, jnp.any(mask, axis=-1))


def _groups(reward: Array, group_size: int) -> Array:
    """``[B]`` -> ``[B / G, G]``."""
    if group_size < 2:
        raise UsageError(f"group_size is {group_size}; a group needs at least 2 completions to compare")
    if len(reward) % group_size:
        raise UsageError(f"{len(reward)} rewards do not divide into groups of {group_size}; choose a divisor")
    return jnp.reshape(reward, (-1, group_size))


def _centred(reward: Array, group_size: int) -> Array:
    """Reward minus the group's mean; subtracting the first reward before makes equal rewards exactly 0 in floats."""
    groups = _groups(reward, group_size)
    shifted = groups - groups[:, :1]
    return shifted - jnp.mean(shifted, axis=-1, keepdims=True)
