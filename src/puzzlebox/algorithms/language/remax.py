"""ReMax: REINFORCE whose baseline is the greedy answer (Li et al. 2023, arXiv 2310.10505).

Idea: a completion is worth what it earns more than the completion that always takes the likeliest token. That number
does not depend on what was sampled, so the gradient stays right, and no value function is needed.

Departures: one gradient step per iteration, so that every step is on-policy. With ``kl_coef`` a token pays for its own
divergence from the starting model and for what comes after it (k1, as returns to go); the baseline leaves this out.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from puzzlebox.acting.generate import Sampling
from puzzlebox.acting.score import score
from puzzlebox.algorithms.language import common
from puzzlebox.algorithms.language.common import State
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.fields import check_fields, param
from puzzlebox.ops import kl
from puzzlebox.ops.masks import masked_mean, masked_sum
from puzzlebox.ops.policy_losses import policy_gradient_loss
from puzzlebox.types import Array, Key, Metrics, Trajectory


class ReMax(eqx.Module):
    """The policy gradient with the reward of the greedy completion as baseline."""

    env: Any
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    reward_model: str = param("", "run directory of a reward model that judges instead of the task")
    steps: int = param(100, "iterations of the whole training, a gradient step each", low=1)
    num_prompts: int = param(64, "prompts per iteration, one sampled and one greedy completion each", low=1)
    max_tokens: int = param(0, "longest completion; 0: what the task needs", low=0)
    temperature: float = param(1.0, "of sampling", low=1e-3)
    learning_rate: float = param(1e-6, "Adam's step size", low=0.0)
    warmup: int = param(0, "updates over which the step size rises", low=0)
    max_grad_norm: float = param(1.0, "gradients longer than this are shortened to it", low=0.0)
    kl_coef: float = param(0.05, "β, the price of each nat of divergence from the starting model", low=0.0)
    lora_rank: int = param(0, "rank of the adapters; 0 trains every weight", low=0)
    lora_alpha: float = param(32.0, "adapters are scaled by alpha / rank", low=0.0)
    lora_targets: str = param("all", "layers with adapters: query,key,value,out,gate,up,down or all")

    def __check_init__(self):
        check_fields(self)

    @property
    def iteration_steps(self) -> int:
        return 1

    def init(self, key: Key) -> State:
        params = common.trained_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets, key)
        return common.begin(params, self._optimiser(), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        prompts_key, generate_key = jax.random.split(common.iteration_key(state))
        model = self.policy(state)
        examples = common.draw_examples(self.env, self.num_prompts, prompts_key)
        prompts = [model.ask(example.prompt, self.env.chat) for example in examples]
        count = self.max_tokens or self.env.max_tokens
        trajectory, texts = common.experience(
            model, prompts, generate_key, max_tokens=count, sampling=Sampling(self.temperature)
        )
        _, greedy = common.experience(model, prompts, generate_key, max_tokens=count, sampling=Sampling(0.0))
        trajectory = common.rewarded(trajectory, common.rewards(self.env, examples, texts))
        baseline = np.array(common.rewards(self.env, examples, greedy), np.float32)
        state, learning = self._improve(state, trajectory, jnp.asarray(baseline))
        return state, common.writing_metrics(trajectory) | learning | {"reward_greedy": baseline.mean()}

    def policy(self, state: State, greedy: bool = False) -> LanguageModel:
        return LanguageModel(eqx.combine(state.params, self._frozen()), self.start.tokenizer)

    def _frozen(self) -> Any:
        return common.frozen_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets)

    def _optimiser(self) -> optax.GradientTransformation:
        return common.adamw(self.learning_rate, self.max_grad_norm, self.warmup)

    @eqx.filter_jit
    def _improve(self, state: State, trajectory: Trajectory, baseline: Array) -> tuple[State, Metrics]:
        """One gradient step."""
        mask = trajectory.mask
        reference = self._score(self.start.decoder, trajectory)[0]
        drift = jnp.where(mask, kl.k1(trajectory.log_prob, reference), 0.0)
        drift_to_go = jnp.cumsum(drift[:, ::-1], axis=1)[:, ::-1]
        advantage = (trajectory.reward.sum(axis=1) - baseline)[:, None] - self.kl_coef * drift_to_go
        params, optimiser, metrics = common.gradient_step(
            self._loss, self._optimiser(), state.params, state.optimiser, self._frozen(), trajectory, advantage
        )
        metrics |= {"advantage": masked_mean(advantage, mask), "kl": drift.sum(axis=1).mean()}
        return State(params, optimiser, state.key, state.iteration + 1), metrics

    def _score(self, decoder, trajectory: Trajectory) -> tuple[Array, Array]:
        count = self.max_tokens or self.env.max_tokens
        return score(decoder, trajectory.observation, trajectory.action, trajectory.mask, count, self.temperature)

    def _loss(self, params, frozen, trajectory, advantage) -> tuple[Array, Metrics]:
        log_prob, entropy = self._score(eqx.combine(params, frozen), trajectory)
        token_loss = policy_gradient_loss(log_prob, advantage)
        loss = masked_sum(token_loss, trajectory.mask, axis=1).mean()
        return loss, {"entropy": masked_mean(entropy, trajectory.mask)}
