"""RLOO: REINFORCE, leave one out (Kool et al. 2019; Ahmadian et al. 2024, "Back to basics", arXiv 2402.14740).

Idea: answer every prompt several times; the baseline of each answer is the mean reward of the others. A whole
completion is one action, with one log-probability, and one reward less its divergence from the starting model.

Departure: one gradient step per iteration, so that every step is on-policy.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import optax

from puzzlebox.acting.generate import Sampling
from puzzlebox.acting.score import score_groups, widths
from puzzlebox.algorithms.language import common
from puzzlebox.algorithms.language.common import State
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.fields import check_fields, param
from puzzlebox.ops import groups, kl
from puzzlebox.ops.masks import masked_mean, masked_sum
from puzzlebox.ops.policy_losses import policy_gradient_loss
from puzzlebox.types import Array, Key, Metrics, Trajectory


class RLOO(eqx.Module):
    """The policy gradient of whole completions, each against the others to the same prompt."""

    env: Any
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    reward_model: str = param("", "run directory of a reward model that judges instead of the task")
    steps: int = param(100, "iterations of the whole training, a gradient step each", low=1)
    num_prompts: int = param(16, "prompts per iteration", low=1)
    group_size: int = param(4, "completions of each prompt", low=2)
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
        trajectory, texts = common.experience(
            model,
            [model.ask(example.prompt, self.env.chat) for example in examples],
            generate_key,
            max_tokens=self.max_tokens or self.env.max_tokens,
            sampling=Sampling(self.temperature),
            group=self.group_size,
        )
        trajectory = common.rewarded(trajectory, common.rewards(self.env, examples, texts, self.group_size))
        state, learning = self._improve(state, trajectory, widths(trajectory.mask))
        return state, common.writing_metrics(trajectory) | learning

    def policy(self, state: State, greedy: bool = False) -> LanguageModel:
        return LanguageModel(eqx.combine(state.params, self._frozen()), self.start.tokenizer)

    def _frozen(self) -> Any:
        return common.frozen_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets)

    def _optimiser(self) -> optax.GradientTransformation:
        return common.adamw(self.learning_rate, self.max_grad_norm, self.warmup)

    @eqx.filter_jit
    def _improve(self, state: State, trajectory: Trajectory, columns: tuple[int, int]) -> tuple[State, Metrics]:
        """One gradient step."""
        reference = self._score(self.start.decoder, trajectory, columns)[0]
        drift = masked_sum(kl.k1(trajectory.log_prob, reference), trajectory.mask, axis=1)
        reward = trajectory.reward.sum(axis=1)
        advantage = groups.leave_one_out_advantages(reward - self.kl_coef * drift, self.group_size)
        params, optimiser, metrics = common.gradient_step(
            lambda params: self._loss(params, columns, trajectory, advantage),
            self._optimiser(),
            state.params,
            state.optimiser,
        )
        metrics |= {"kl": drift.mean(), "frac_reward_zero_std": groups.zero_std(reward, self.group_size).mean()}
        return State(params, optimiser, state.key, state.iteration + 1), metrics

    def _score(self, decoder, trajectory: Trajectory, columns: tuple[int, int]) -> tuple[Array, Array]:
        rows = trajectory.observation, trajectory.action, trajectory.mask
        return score_groups(decoder, *rows, self.group_size, columns, self.temperature)

    def _loss(self, params, columns, trajectory, advantage) -> tuple[Array, Metrics]:
        log_prob, entropy = self._score(eqx.combine(params, self._frozen()), trajectory, columns)
        loss = policy_gradient_loss(log_prob.sum(axis=1), advantage).mean()
        return loss, {"entropy": masked_mean(entropy, trajectory.mask)}
