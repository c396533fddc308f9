"""GRPO: group relative policy optimisation (Shao et al. 2024, DeepSeekMath, arXiv 2402.03300).

Idea: answer every prompt several times; completions that beat the average of their group become likelier. The group
replaces the critic, so this is PPO's clipped loss with another advantage.

Its successors are options here. Dr. GRPO (Liu et al. 2025): ``--scale false --average fixed``. DAPO (Yu et al.
2025): ``--average token --clip-high 0.28 --drop-equal true``. GSPO (Zheng et al. 2025): ``--ratio sequence``
with ``--clip-ratio 3e-4 --clip-high 4e-4``.

Departures: DAPO samples again to replace dropped groups, here they only weigh nothing; by default there is no KL
penalty (``kl_coef`` 0), as is now usual; with one it is the k3 estimate in the loss, as in the paper.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from puzzlebox.acting.completions import writing_metrics
from puzzlebox.acting.score import widths
from puzzlebox.algorithms.language.fine_tuning import Passes, State, gradient_steps, iteration_key, update
from puzzlebox.algorithms.language.writing import Grouped
from puzzlebox.fields import param, part
from puzzlebox.ops import groups, kl
from puzzlebox.ops.masks import masked_mean
from puzzlebox.ops.policy_losses import approximate_kl, clipped_policy_loss, is_clipped
from puzzlebox.types import Array, Key, Metrics, Trajectory


class GRPO(Grouped):
    """Clipped policy updates whose advantage is a completion's reward against those of its group."""

    passes: Passes = part(Passes)
    clip_ratio: float = param(0.2, "ε, how far down a token's probability may move per iteration", low=0.0)
    clip_high: float = param(0.0, "how far up; 0: as far as down", low=0.0)
    kl_coef: float = param(0.0, "weight of the KL divergence from the starting model", low=0.0)
    scale: bool = param(True, "divide a group's advantages by their standard deviation")
    average: str = param(
        "sequence", "every sequence weighs the same, every token, or fixed", choices=("sequence", "token", "fixed")
    )
    ratio: str = param("token", "what is clipped: each token's ratio or the sequence's", choices=("token", "sequence"))
    drop_equal: bool = param(False, "leave groups of equal rewards out of the average")

    def __check_init__(self):
        self.passes.check(self.num_prompts, "num_prompts")  # a prompt's completions are learned from together

    def step(self, state: State) -> tuple[State, Metrics]:
        prompts_key, generate_key, epochs_key = jax.random.split(iteration_key(state), 3)
        trajectory = self.collect(state, prompts_key, generate_key)
        state, learning = self._improve(state, trajectory, widths(trajectory.mask), epochs_key)
        return state, writing_metrics(trajectory) | learning

    @update
    def _improve(
        self, state: State, trajectory: Trajectory, columns: tuple[int, int], key: Key
    ) -> tuple[State, Metrics]:
        """Epochs of minibatch gradient steps."""
        # one advantage per completion, against those of its group
        reward = trajectory.reward.sum(axis=1)
        advantage = groups.group_advantages(reward, self.group_size, self.scale)
        equal = groups.zero_std(reward, self.group_size)
        mask = trajectory.mask & ~equal[:, None] if self.drop_equal else trajectory.mask

        # the reference's log-probs are computed only for a KL penalty
        reference = trajectory.log_prob
        if self.kl_coef:
            reference = self.score(self.start.decoder, trajectory, columns)[0]
        frozen = self.frozen()
        state, metrics = gradient_steps(
            lambda params, *minibatch: self._loss(eqx.combine(params, frozen), columns, *minibatch),
            self.transform(),
            state,
            (trajectory._replace(mask=mask), advantage, reference),
            key,
            self.passes,
            self.group_size,
        )
        return state, metrics | {"frac_reward_zero_std": equal.mean()}

    def _loss(self, decoder, columns, trajectory: Trajectory, advantage, reference) -> tuple[Array, Metrics]:
        log_prob, entropy = self.score(decoder, trajectory, columns)
        old_log_prob, mask = trajectory.log_prob, trajectory.mask
        # what is clipped: each token's ratio, or the geometric mean of the sequence's
        new, old = log_prob, old_log_prob
        if self.ratio == "sequence":
            new, old = groups.sequence_log_ratio(log_prob, old_log_prob, mask), jnp.zeros_like(old_log_prob)
        high = self.clip_high or None
        token_loss = clipped_policy_loss(new, old, advantage[:, None], self.clip_ratio, high)
        if self.kl_coef:
            token_loss = token_loss + self.kl_coef * kl.k3(log_prob, reference)
        metrics = {
            "entropy": masked_mean(entropy, mask),
            "approximate_kl": masked_mean(approximate_kl(log_prob, old_log_prob), mask),
            "clip_fraction": masked_mean(is_clipped(new, old, self.clip_ratio, high), mask),
        }
        if self.kl_coef:
            metrics["kl"] = masked_mean(kl.k3(log_prob, reference), mask)
        return self._mean(token_loss, mask), metrics

    def _mean(self, loss: Array, mask: Array) -> Array:
        if self.average == "token":
            return groups.token_mean(loss, mask)
        if self.average == "fixed":
            return groups.fixed_length_mean(loss, mask, self.max_tokens)
        return groups.sequence_mean(loss, mask)
