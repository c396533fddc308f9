"""GRPO: group relative policy optimisation (Shao et al. 2024, DeepSeekMath, arXiv 2402.03300).

Idea: answer every prompt several times; what beats the average of its group becomes more likely. The group takes the
place of a critic, so this is PPO's clipped loss with another advantage.

The papers after it are choices here. Dr. GRPO (Liu et al. 2025): ``--scale false --average fixed``. DAPO (Yu et al.
2025): ``--average token --clip-high 0.28 --drop-equal true``. GSPO (Zheng et al. 2025): ``--ratio sequence``
with ``--clip-ratio 3e-4 --clip-high 4e-4``.

Departures: DAPO fills the places of dropped groups by sampling again, here they only count nothing; by default there is
no KL penalty (``kl_coef`` 0), as is now usual; with one it is the k3 estimate in the loss, as the paper writes it.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting.generate import Sampling
from puzzlebox.acting.score import score_groups, widths
from puzzlebox.algorithms.language import common
from puzzlebox.algorithms.language.common import State
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.ops import groups, kl
from puzzlebox.ops.masks import masked_mean
from puzzlebox.ops.policy_losses import approximate_kl, clipped_policy_loss, is_clipped
from puzzlebox.types import Array, Key, Metrics, Trajectory


class GRPO(eqx.Module):
    """Clipped policy updates whose advantage is a completion's reward against those of its group."""

    env: Any
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    reward_model: str = param("", "run directory of a reward model that judges instead of the task")
    steps: int = param(100, "iterations of the whole training", low=1)
    num_prompts: int = param(16, "prompts per iteration", low=1)
    group_size: int = param(8, "completions of each prompt", low=2)
    num_epochs: int = param(1, "passes over each iteration's completions", low=1)
    num_minibatches: int = param(1, "gradient steps per pass", low=1)
    max_tokens: int = param(0, "longest completion; 0: what the task needs", low=0)
    temperature: float = param(1.0, "of sampling", low=1e-3)
    learning_rate: float = param(1e-6, "Adam's step size", low=0.0)
    warmup: int = param(0, "updates over which the step size rises", low=0)
    max_grad_norm: float = param(1.0, "gradients longer than this are shortened to it", low=0.0)
    clip_ratio: float = param(0.2, "ε, how far down a token's probability may move per iteration", low=0.0)
    clip_high: float = param(0.0, "how far up; 0: as far as down", low=0.0)
    kl_coef: float = param(0.0, "weight of the KL divergence from the starting model", low=0.0)
    scale: bool = param(True, "divide a group's advantages by their standard deviation")
    average: str = param(
        "sequence", "every sequence weighs the same, every token, or fixed", choices=("sequence", "token", "fixed")
    )
    ratio: str = param("token", "what is clipped: each token's ratio or the sequence's", choices=("token", "sequence"))
    drop_equal: bool = param(False, "leave groups of equal rewards out of the average")
    lora_rank: int = param(0, "rank of the adapters; 0 trains every weight", low=0)
    lora_alpha: float = param(32.0, "adapters are scaled by alpha / rank", low=0.0)
    lora_targets: str = param("all", "layers with adapters: query,key,value,out,gate,up,down or all")

    def __check_init__(self):
        check_fields(self)
        if self.num_prompts % self.num_minibatches:
            raise UsageError(
                f"num_minibatches is {self.num_minibatches}, which does not divide num_prompts, {self.num_prompts}; a "
                "prompt's completions are learned from together"
            )

    @property
    def iteration_steps(self) -> int:
        return 1

    def init(self, key: Key) -> State:
        params = common.trained_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets, key)
        return common.begin(params, self._optimiser(), key)

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
            group=self.group_size,
        )
        rewards = common.rewards(self.env, examples, texts, self.group_size)
        trajectory = common.rewarded(trajectory, rewards)
        state, learning = self._improve(state, trajectory, widths(trajectory.mask), epochs_key)
        return state, common.writing_metrics(trajectory) | learning

    def policy(self, state: State, greedy: bool = False) -> LanguageModel:
        return LanguageModel(eqx.combine(state.params, self._frozen()), self.start.tokenizer)

    def _frozen(self) -> Any:
        return common.frozen_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets)

    def _optimiser(self) -> optax.GradientTransformation:
        return common.adamw(self.learning_rate, self.max_grad_norm, self.warmup)

    @eqx.filter_jit
    def _improve(
        self, state: State, trajectory: Trajectory, columns: tuple[int, int], key: Key
    ) -> tuple[State, Metrics]:
        """Epochs of minibatch gradient steps."""
        reward = trajectory.reward.sum(axis=1)
        advantage = groups.group_advantages(reward, self.group_size, self.scale)
        equal = groups.zero_std(reward, self.group_size)
        mask = trajectory.mask & ~equal[:, None] if self.drop_equal else trajectory.mask
        reference = trajectory.log_prob
        if self.kl_coef:
            reference = self._score(self.start.decoder, trajectory, columns)[0]
        frozen = self._frozen()
        params, optimiser, figures = common.gradient_steps(
            lambda params, *minibatch: self._loss(params, frozen, columns, *minibatch),
            self._optimiser(),
            state.params,
            state.optimiser,
            (trajectory._replace(mask=mask), advantage, reference),
            key,
            self.num_epochs,
            self.num_minibatches,
            self.group_size,
        )
        figures["frac_reward_zero_std"] = equal.mean()
        return State(params, optimiser, state.key, state.iteration + 1), figures

    def _score(self, decoder, trajectory: Trajectory, columns: tuple[int, int]) -> tuple[Array, Array]:
        rows = trajectory.observation, trajectory.action, trajectory.mask
        return score_groups(decoder, *rows, self.group_size, columns, self.temperature)

    def _loss(self, params, frozen, columns, trajectory, advantage, reference) -> tuple[Array, Metrics]:
        log_prob, entropy = self._score(eqx.combine(params, frozen), trajectory, columns)
        old_log_prob, mask = trajectory.log_prob, trajectory.mask
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
            "clip_ratio": masked_mean(is_clipped(new, old, self.clip_ratio, high), mask),
        }
        if self.kl_coef:
            metrics["kl"] = masked_mean(kl.k3(log_prob, reference), mask)
        return self._mean(token_loss, mask), metrics

    def _mean(self, loss: Array, mask: Array) -> Array:
        if self.average == "token":
            return groups.token_mean(loss, mask)
        if self.average == "fixed":
            return groups.fixed_length_mean(loss, mask, self.max_tokens or self.env.max_tokens)
        return groups.sequence_mean(loss, mask)
