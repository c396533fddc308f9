"""ReMax: REINFORCE whose baseline is the greedy answer (Li et al. 2023, arXiv 2310.10505).

Idea: a completion's advantage is its reward minus that of the greedy completion, which always takes the likeliest
token. That baseline does not depend on what was sampled, so the gradient stays unbiased, and no value function is
needed.

Departures: one gradient step per iteration, so that every step is on-policy. With ``kl_coef`` a token pays for its own
divergence from the starting model and for that of the tokens after it (k1, as reward to go); the baseline has none.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting.completions import rewards_of, with_rewards, writing_metrics
from puzzlebox.algorithms.language.fine_tuning import State, gradient_step, iteration_key, update
from puzzlebox.algorithms.language.writing import Rewarded
from puzzlebox.fields import param
from puzzlebox.ops import kl
from puzzlebox.ops.masks import masked_mean, masked_sum
from puzzlebox.ops.policy_losses import policy_gradient_loss
from puzzlebox.types import Array, Metrics, Trajectory


class ReMax(Rewarded):
    """The policy gradient with the reward of the greedy completion as baseline."""

    steps: int = param(100, "iterations of the whole training, a gradient step each", low=1)
    num_prompts: int = param(64, "prompts per iteration, one sampled and one greedy completion each", low=1)
    kl_coef: float = param(0.05, "β, the price of each nat of divergence from the starting model", low=0.0)

    def step(self, state: State) -> tuple[State, Metrics]:
        prompts_key, generate_key = jax.random.split(iteration_key(state))
        model = self.policy(state)
        examples, prompts = self.draw_prompts(self.num_prompts, prompts_key)
        sampled = self.write(model, prompts, generate_key)
        greedy = self.write(model, prompts, generate_key, greedy=True)
        trajectory = with_rewards(sampled.trajectory, rewards_of(self.env, examples, sampled.texts))
        baseline = np.array(rewards_of(self.env, examples, greedy.texts), np.float32)
        state, learning = self._improve(state, trajectory, jnp.asarray(baseline))
        return state, writing_metrics(trajectory) | learning | {"reward_greedy": baseline.mean()}

    @update
    def _improve(self, state: State, trajectory: Trajectory, baseline: Array) -> tuple[State, Metrics]:
        """One gradient step."""
        # the KL penalty from each token on
        mask = trajectory.mask
        reference = self.score(self.start.decoder, trajectory)[0]
        drift = jnp.where(mask, kl.k1(trajectory.log_prob, reference), 0.0)
        drift_to_go = jnp.cumsum(drift[:, ::-1], axis=1)[:, ::-1]
        advantage = (trajectory.reward.sum(axis=1) - baseline)[:, None] - self.kl_coef * drift_to_go
        state, metrics = gradient_step(self._loss, self.transform(), state, self.frozen(), trajectory, advantage)
        return state, metrics | {"advantage": masked_mean(advantage, mask), "kl": drift.sum(axis=1).mean()}

    def _loss(self, params, frozen, trajectory: Trajectory, advantage) -> tuple[Array, Metrics]:
        log_prob, entropy = self.score(eqx.combine(params, frozen), trajectory)
        token_loss = policy_gradient_loss(log_prob, advantage)
        loss = masked_sum(token_loss, trajectory.mask, axis=1).mean()
        return loss, {"entropy": masked_mean(entropy, trajectory.mask)}
