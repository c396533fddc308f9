"""RLOO: REINFORCE, leave one out (Kool et al. 2019; Ahmadian et al. 2024, "Back to basics", arXiv 2402.14740).

Idea: answer every prompt several times; the baseline of each answer is the mean reward of the others. A whole
completion is one action, with one log-probability, and one reward less its divergence from the starting model.

Departure: one gradient step per iteration, so that every step is on-policy.
"""

from __future__ import annotations

import equinox as eqx
import jax

from puzzlebox.acting.completions import writing_metrics
from puzzlebox.acting.score import widths
from puzzlebox.algorithms.language.fine_tuning import State, gradient_step, iteration_key, update
from puzzlebox.algorithms.language.writing import Grouped
from puzzlebox.fields import param
from puzzlebox.ops import groups, kl
from puzzlebox.ops.masks import masked_mean, masked_sum
from puzzlebox.ops.policy_losses import policy_gradient_loss
from puzzlebox.types import Array, Metrics, Trajectory


class RLOO(Grouped):
    """The policy gradient of whole completions, each against the others to the same prompt."""

    steps: int = param(100, "iterations of the whole training, a gradient step each", low=1)
    group_size: int = param(4, "completions of each prompt", low=2)
    kl_coef: float = param(0.05, "β, the price of each nat of divergence from the starting model", low=0.0)

    def step(self, state: State) -> tuple[State, Metrics]:
        trajectory = self.collect(state, *jax.random.split(iteration_key(state)))
        state, learning = self._improve(state, trajectory, widths(trajectory.mask))
        return state, writing_metrics(trajectory) | learning

    @update
    def _improve(self, state: State, trajectory: Trajectory, columns: tuple[int, int]) -> tuple[State, Metrics]:
        """One gradient step."""
        reference = self.score(self.start.decoder, trajectory, columns)[0]
        drift = masked_sum(kl.k1(trajectory.log_prob, reference), trajectory.mask, axis=1)
        reward = trajectory.reward.sum(axis=1)
        advantage = groups.leave_one_out_advantages(reward - self.kl_coef * drift, self.group_size)
        state, metrics = gradient_step(self._loss, self.transform(), state, columns, trajectory, advantage)
        metrics |= {"kl": drift.mean(), "frac_reward_zero_std": groups.zero_std(reward, self.group_size).mean()}
        return state, metrics

    def _loss(self, params, columns, trajectory: Trajectory, advantage) -> tuple[Array, Metrics]:
        log_prob, entropy = self.score(eqx.combine(params, self.frozen()), trajectory, columns)
        loss = policy_gradient_loss(log_prob.sum(axis=1), advantage).mean()
        return loss, {"entropy": masked_mean(entropy, trajectory.mask)}
