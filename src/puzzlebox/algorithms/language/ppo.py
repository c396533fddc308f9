"""PPO for language models: RLHF's third phase (Ziegler et al. 2019; Ouyang et al. 2022, arXiv 2203.02155).

Idea: the PPO of `algorithms.deep.ppo` with a text as the episode and a token as the action. What is new is the reward:
that of the whole text comes with its last token, and every token pays for its divergence from the starting model.

Departures: the value function is a full second model, initialised from the starting model, not from the reward model; a
completion that was cut off is judged as it is, and nothing is bootstrapped (``missing_eos_penalty`` can penalise it).
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting.completions import writing_metrics
from puzzlebox.algorithms.language.fine_tuning import Adam, Passes, gradient_steps, initial_state, iteration_key, update
from puzzlebox.algorithms.language.writing import Rewarded
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.fields import param, part
from puzzlebox.nets.decoder import Decoder
from puzzlebox.nets.scorer import Scorer, zero_head
from puzzlebox.ops import kl
from puzzlebox.ops.masks import masked_mean, normalise
from puzzlebox.ops.policy_losses import approximate_kl, clipped_policy_loss, is_clipped
from puzzlebox.ops.token_returns import token_gae
from puzzlebox.ops.value_losses import squared_error
from puzzlebox.types import Array, Key, Metrics, Trajectory


class Networks(NamedTuple):
    """The policy and its value function, or those parts of them that train (or do not)."""

    actor: Decoder
    critic: Scorer


class State(NamedTuple):
    params: Networks
    optimiser: optax.OptState
    key: Key
    iteration: Array
    kl_coef: Array  # float32 [], β as it is now


class PPO(Rewarded):
    """Clipped policy updates on fresh completions, with a value function and a KL penalty in the reward."""

    passes: Passes = part(Passes, num_epochs=4, num_minibatches=4)
    discount: float = param(1.0, "γ, the weight of the next reward", low=0.0, high=1.0)
    gae_lambda: float = param(0.95, "λ of the advantage estimate: 0 one-step, 1 whole returns", low=0.0, high=1.0)
    clip_ratio: float = param(0.2, "ε, how far a token's probability may move per iteration", low=0.0)
    value_coef: float = param(0.5, "weight of the value function's loss", low=0.0)
    entropy_coef: float = param(0.0, "weight of the entropy bonus", low=0.0)
    kl_coef: float = param(0.05, "β, the price of each nat of divergence from the starting model", low=0.0)
    kl_target: float = param(0.0, "nats per completion that β is steered to; 0: β stays as it is", low=0.0)
    kl_horizon: int = param(10_000, "completions over which a steered β moves by a fifth", low=1)
    missing_eos_penalty: float = param(0.0, "taken off the reward of a completion that was cut off", low=0.0)
    optimiser: Adam = part(Adam, learning_rate=3e-6)

    def __check_init__(self):
        self.passes.check(self.num_prompts, "num_prompts")

    def init(self, key: Key) -> State:
        actor_key, critic_key = jax.random.split(key)
        decoder = self.start.decoder
        critic = Scorer(self.lora.trained(decoder, critic_key), zero_head(decoder))
        state = initial_state(Networks(self.lora.trained(decoder, actor_key), critic), self.transform(), key)
        return State(*state, jnp.float32(self.kl_coef))

    def step(self, state: State) -> tuple[State, Metrics]:
        prompts_key, generate_key, epochs_key = jax.random.split(iteration_key(state), 3)
        trajectory = self.collect(state, prompts_key, generate_key)
        state, learning = self._improve(state, trajectory, epochs_key)
        return state, writing_metrics(trajectory) | learning

    def policy(self, state: State, greedy: bool = False) -> LanguageModel:
        return LanguageModel(eqx.combine(state.params.actor, self.frozen().actor), self.start.tokenizer)

    def frozen(self) -> Networks:
        return Networks(super().frozen(), Scorer(super().frozen(), None))

    @update
    def _improve(self, state: State, trajectory: Trajectory, key: Key) -> tuple[State, Metrics]:
        """Rewards less their price, advantages, then epochs of minibatch gradient steps."""
        # rewards less the KL penalty, and advantages; both stay fixed over the epochs
        frozen = self.frozen()
        reference = self.score(self.start.decoder, trajectory)[0]
        reward = shaped_reward(trajectory, reference, state.kl_coef, self.missing_eos_penalty)
        value = eqx.combine(state.params.critic, frozen.critic)(trajectory.observation)
        ended = trajectory.terminated | trajectory.truncated
        advantage = token_gae(reward, value, ended, trajectory.mask, self.discount, self.gae_lambda)

        # improve
        state, metrics = gradient_steps(
            lambda params, *minibatch: self._loss(eqx.combine(params, frozen), *minibatch),
            self.transform(),
            state,
            (trajectory, advantage, advantage + value),
            key,
            self.passes,
        )

        # steer β towards the divergence that was asked for
        drift = jnp.where(trajectory.mask, kl.k1(trajectory.log_prob, reference), 0.0).sum(axis=1).mean()
        metrics |= {"kl": drift, "kl_coef": state.kl_coef}
        if self.kl_target:
            steered = kl.adaptive_kl_coef(state.kl_coef, drift, self.kl_target, self.kl_horizon, self.num_prompts)
            state = state._replace(kl_coef=steered)
        return state, metrics

    def _loss(self, nets: Networks, trajectory: Trajectory, advantage, target) -> tuple[Array, Metrics]:
        mask, old_log_prob = trajectory.mask, trajectory.log_prob
        log_prob, entropy = self.score(nets.actor, trajectory)
        token_loss = clipped_policy_loss(log_prob, old_log_prob, normalise(advantage, mask), self.clip_ratio)
        policy_loss = masked_mean(token_loss, mask)
        value_loss = 0.5 * masked_mean(squared_error(nets.critic(trajectory.observation), target), mask)
        entropy = masked_mean(entropy, mask)
        loss = policy_loss + self.value_coef * value_loss - self.entropy_coef * entropy
        metrics = {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "approximate_kl": masked_mean(approximate_kl(log_prob, old_log_prob), mask),
            "clip_fraction": masked_mean(is_clipped(log_prob, old_log_prob, self.clip_ratio), mask),
        }
        return loss, metrics


def shaped_reward(trajectory: Trajectory, reference: Array, kl_coef: Array, missing_eos_penalty: float = 0.0) -> Array:
    """r_t − β (log π(a_t) − log π_ref(a_t)) at the tokens the policy chose, 0 elsewhere; ``[B, T]``.

    ``reference`` is log π_ref ``[B, T]``; a completion that was cut off also loses ``missing_eos_penalty`` at its end.
    """
    reward = trajectory.reward - missing_eos_penalty * trajectory.truncated
    return jnp.where(trajectory.mask, reward - kl_coef * kl.k1(trajectory.log_prob, reference), 0.0)
