"""PPO for language models: RLHF's third phase (Ziegler et al. 2019; Ouyang et al. 2022, arXiv 2203.02155).

Idea: the PPO of `algorithms.deep.ppo` with a text as the episode and a token as the action. What is new is the reward:
the verdict on the whole text comes with its last token, and every token pays for leaving the starting model.

Departures: the value function is a full second model that begins as the starting model, not as the reward model; a
completion that was cut off is judged as it stands and nothing is bootstrapped (``missing_eos_penalty`` can fine it).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting.generate import Sampling
from puzzlebox.acting.score import score
from puzzlebox.algorithms.language import common
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.scorer import Scorer, zero_head
from puzzlebox.ops import kl
from puzzlebox.ops.masks import masked_mean, normalise
from puzzlebox.ops.policy_losses import approximate_kl, clipped_policy_loss, is_clipped
from puzzlebox.ops.returns import gae
from puzzlebox.ops.value_losses import squared_error
from puzzlebox.types import Array, Key, Metrics, Trajectory


class State(NamedTuple):
    params: tuple[Any, Scorer]  # what trains of the policy, of the value function
    optimiser: optax.OptState
    key: Key
    iteration: Array
    kl_coef: Array


class PPO(eqx.Module):
    """Clipped policy updates on fresh completions, with a value function and a KL penalty in the reward."""

    env: Any
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    reward_model: str = param("", "run directory of a reward model that judges instead of the task")
    steps: int = param(100, "iterations of the whole training", low=1)
    num_prompts: int = param(64, "prompts per iteration, one completion each", low=1)
    num_epochs: int = param(4, "passes over each iteration's completions", low=1)
    num_minibatches: int = param(4, "gradient steps per pass", low=1)
    max_tokens: int = param(0, "longest completion; 0: what the task needs", low=0)
    temperature: float = param(1.0, "of sampling", low=1e-3)
    learning_rate: float = param(3e-6, "Adam's step size", low=0.0)
    warmup: int = param(0, "updates over which the step size rises", low=0)
    max_grad_norm: float = param(1.0, "gradients longer than this are shortened to it", low=0.0)
    discount: float = param(1.0, "γ, the weight of the next reward", low=0.0, high=1.0)
    gae_lambda: float = param(0.95, "λ of the advantage estimate: 0 one-step, 1 whole returns", low=0.0, high=1.0)
    clip_ratio: float = param(0.2, "ε, how far a token's probability may move per iteration", low=0.0)
    value_coef: float = param(0.5, "weight of the value function's loss", low=0.0)
    entropy_coef: float = param(0.0, "weight of the entropy bonus", low=0.0)
    kl_coef: float = param(0.05, "β, the price of each nat of divergence from the starting model", low=0.0)
    kl_target: float = param(0.0, "nats per completion that β is steered to; 0: β stays as it is", low=0.0)
    kl_horizon: int = param(10_000, "completions over which a steered β moves by a fifth", low=1)
    missing_eos_penalty: float = param(0.0, "taken off the reward of a completion that was cut off", low=0.0)
    lora_rank: int = param(0, "rank of the adapters; 0 trains every weight", low=0)
    lora_alpha: float = param(32.0, "adapters are scaled by alpha / rank", low=0.0)
    lora_targets: str = param("all", "layers with adapters: query,key,value,out,gate,up,down or all")

    def __check_init__(self):
        check_fields(self)
        if self.num_prompts % self.num_minibatches:
            raise UsageError(
                f"num_minibatches is {self.num_minibatches}, which does not divide the {self.num_prompts} completions"
            )

    @property
    def iteration_steps(self) -> int:
        return 1

    def init(self, key: Key) -> State:
        actor_key, critic_key = jax.random.split(key)
        lora = self.lora_rank, self.lora_alpha, self.lora_targets
        actor = common.trained_part(self.start.decoder, *lora, actor_key)
        critic = Scorer(common.trained_part(self.start.decoder, *lora, critic_key), zero_head(self.start.decoder))
        return State(*common.begin((actor, critic), self._optimiser(), key), jnp.float32(self.kl_coef))

    def step(self, state: State) -> tuple[State, Metrics]:
        prompts_key, generate_key, epochs_key = jax.random.split(common.iteration_key(state), 3)
        model = self.policy(state)
        examples = common.draw_examples(self.env, self.num_prompts, prompts_key)
        trajectory, texts = common.experience(
            model,
            [model.ask(example.prompt, self.env.chat) for example in examples],
            generate_key,
            max_tokens=self.max_tokens or self.env.max_tokens,
            sampling=Sampling(self.temperature),
        )
        trajectory = common.rewarded(trajectory, common.rewards(self.env, examples, texts))
        state, learning = self._improve(state, trajectory, epochs_key)
        return state, common.writing_metrics(trajectory) | learning

    def policy(self, state: State, greedy: bool = False) -> LanguageModel:
        return LanguageModel(eqx.combine(state.params[0], self._frozen()[0]), self.start.tokenizer)

    def _frozen(self) -> tuple[Any, Scorer]:
        part = common.frozen_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets)
        return part, Scorer(part, None)

    def _optimiser(self) -> optax.GradientTransformation:
        return common.adamw(self.learning_rate, self.max_grad_norm, self.warmup)

    @eqx.filter_jit
    def _improve(self, state: State, trajectory: Trajectory, key: Key) -> tuple[State, Metrics]:
        """Epochs of minibatch gradient steps."""
        frozen = self._frozen()
        reference = self._score(self.start.decoder, trajectory)[0]
        reward = shaped_reward(trajectory, reference, state.kl_coef, self.missing_eos_penalty)
        value = eqx.combine(state.params[1], frozen[1])(trajectory.observation)
        advantage = advantages(trajectory._replace(reward=reward), value, self.discount, self.gae_lambda)
        params, optimiser, metrics = common.gradient_steps(
            lambda params, *minibatch: self._loss(eqx.combine(params, frozen), *minibatch),
            self._optimiser(),
            state.params,
            state.optimiser,
            (trajectory, advantage, advantage + value),
            key,
            self.num_epochs,
            self.num_minibatches,
        )
        drift = jnp.where(trajectory.mask, kl.k1(trajectory.log_prob, reference), 0.0).sum(axis=1).mean()
        kl_coef = state.kl_coef
        if self.kl_target:
            kl_coef = kl.adaptive_kl_coef(kl_coef, drift, self.kl_target, self.kl_horizon, self.num_prompts)
        metrics |= {"kl": drift, "kl_coef": state.kl_coef}
        return State(params, optimiser, state.key, state.iteration + 1, kl_coef), metrics

    def _score(self, decoder, trajectory: Trajectory) -> tuple[Array, Array]:
        count = self.max_tokens or self.env.max_tokens
        return score(decoder, trajectory.observation, trajectory.action, trajectory.mask, count, self.temperature)

    def _loss(self, nets, trajectory, advantage, target) -> tuple[Array, Metrics]:
        actor, critic = nets
        mask, old_log_prob = trajectory.mask, trajectory.log_prob
        log_prob, entropy = self._score(actor, trajectory)
        token_loss = clipped_policy_loss(log_prob, old_log_prob, normalise(advantage, mask), self.clip_ratio)
        policy_loss = masked_mean(token_loss, mask)
        value_loss = 0.5 * masked_mean(squared_error(critic(trajectory.observation), target), mask)
        entropy = masked_mean(entropy, mask)
        loss = policy_loss + self.value_coef * value_loss - self.entropy_coef * entropy
        metrics = {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "approximate_kl": masked_mean(approximate_kl(log_prob, old_log_prob), mask),
            "clip_ratio": masked_mean(is_clipped(log_prob, old_log_prob, self.clip_ratio), mask),
        }
        return loss, metrics


def shaped_reward(trajectory: Trajectory, reference: Array, kl_coef: Array, missing_eos_penalty: float = 0.0) -> Array:
    """r_t − β (log π(a_t) − log π_ref(a_t)) at the tokens the policy chose, 0 elsewhere; ``[B, T]``.

    ``reference`` is log π_ref ``[B, T]``; a completion that was cut off also loses ``missing_eos_penalty`` at its end.
    """
    reward = trajectory.reward - missing_eos_penalty * trajectory.truncated
    return jnp.where(trajectory.mask, reward - kl_coef * kl.k1(trajectory.log_prob, reference), 0.0)


def advantages(trajectory: Trajectory, value: Array, discount: float, gae_lambda: float) -> Array:
    """Generalised advantage estimates where the mask is True, 0 elsewhere; ``value`` and the result are ``[B, T]``.

    Only tokens that the policy chose are time steps: the one after a token is the next it chose, whatever a tool or a
    user has said between them. A completion ends with its last one, cut off or not.
    """
    mask = trajectory.mask
    chosen = jnp.argsort(~mask, axis=1, stable=True)  # a row's time steps first, in their order

    def pick(x: Array) -> Array:
        return jnp.take_along_axis(x, chosen, axis=1).T

    value = pick(value)
    next_value = jnp.concatenate([value[1:], jnp.zeros_like(value[:1])])
    ended = pick(trajectory.terminated | trajectory.truncated)
    advantage = gae(pick(trajectory.reward), value, next_value, ended, jnp.zeros_like(ended), discount, gae_lambda)
    rows = jnp.arange(len(mask))[:, None]
    return jnp.where(mask, jnp.zeros(mask.shape).at[rows, chosen].set(advantage.T), 0.0)
