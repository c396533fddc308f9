"""A reward model from comparisons: step two of RLHF (Ouyang et al. 2022, arXiv 2203.02155).

Idea: people rank answers more reliably than they grade them. A score is learned such that the better of two answers
has the higher one: P(A beats B) = σ(s_A − s_B), Bradley and Terry 1952. A ranking of more than two gives all its pairs.

The score is a linear function of what the language model thinks after the last token. A task with a verifier makes its
own comparisons: completions that the starting model samples, and the demonstration, ranked by the verifier.

Departure: the pairs of one ranking are not kept in one batch.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax

from puzzlebox.acting.judge import Judge, score_at
from puzzlebox.algorithms.language import common, preferences
from puzzlebox.algorithms.language.common import State
from puzzlebox.algorithms.language.preferences import Answers, Memory, Pair
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.packing import batch_indices
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.scorer import Scorer, zero_head
from puzzlebox.ops.preference_losses import bradley_terry_loss, centring_loss, preference_metrics
from puzzlebox.types import Array, Key, Metrics

PAIRS_AT_ONCE = 64


class RewardModel(eqx.Module):
    """Learns which of two completions is better, as a score."""

    env: Any
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    steps: int = param(300, "gradient steps of the whole training", low=1)
    batch_size: int = param(16, "pairs per gradient step", low=1)
    margin: bool = param(False, "the scores shall differ by as much as the data's margin, or the rewards")
    centring_coef: float = param(0.01, "weight of (sum of a pair's scores)², which keeps scores near zero", low=0.0)
    num_prompts: int = param(500, "problems of a task that pairs are made of (a file gives all it has)", low=1)
    num_samples: int = param(8, "completions of each problem by the starting model", low=1)
    temperature: float = param(1.0, "of those completions", low=1e-3)
    learning_rate: float = param(1e-4, "Adam's step size", low=0.0)
    warmup: int = param(10, "updates over which the step size rises", low=0)
    anneal: bool = param(True, "let the step size fall to zero")
    max_grad_norm: float = param(1.0, "gradients longer than this are shortened to it", low=0.0)
    lora_rank: int = param(0, "rank of the adapters; 0 trains every weight", low=0)
    lora_alpha: float = param(32.0, "adapters are scaled by alpha / rank", low=0.0)
    lora_targets: str = param("all", "layers with adapters: query,key,value,out,gate,up,down or all")
    memory: Memory = eqx.field(default_factory=Memory, static=True, repr=False)

    def __check_init__(self):
        check_fields(self)
        preferences.check_source(self.env, ("preference", "ranking"))

    @property
    def iteration_steps(self) -> int:
        return 1

    def init(self, key: Key) -> State:
        decoder = self.start.decoder
        part = common.trained_part(decoder, self.lora_rank, self.lora_alpha, self.lora_targets, key)
        return common.begin(Scorer(part, zero_head(decoder)), self._optimiser(), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        pairs = self.pairs("train", self.num_prompts, 0)
        chosen = batch_indices(len(pairs), self.batch_size, int(state.iteration), common.host_seed(state.key))
        batch = [pairs[i] for i in chosen]
        margins = jnp.array([pair.margin if self.margin else 0.0 for pair in batch])
        return self._improve(state, preferences.pair_rows(batch, self.start), margins)

    def policy(self, state: State, greedy: bool = False) -> Judge:
        return Judge(eqx.combine(state.params, self._frozen()), self.start.tokenizer)

    def pairs(self, split: str, count: int, seed: int) -> list[Pair]:
        """A file's pairs, or those of ``count`` problems of the task; found once."""
        settings = (split, count, self.num_samples, self.temperature, seed, True)
        return self.memory.get(settings, lambda: preferences.find_pairs(self.env, self.start, *settings))

    def judge_accuracy(self, state: State, count: int, seed: int) -> np.ndarray:
        """Of at most ``count`` held-out pairs: 1 where the better completion has the higher score, else 0."""
        pairs = self.pairs("test", count, seed)
        pairs = [pairs[i] for i in np.random.default_rng(seed).permutation(len(pairs))[:count]]
        scorer, right = self.policy(state).scorer, []
        for i in range(0, len(pairs), PAIRS_AT_ONCE):
            rows = preferences.pair_rows(pairs[i : i + PAIRS_AT_ONCE], self.start)
            better, worse = jnp.split(_final_scores(scorer, rows), 2)
            right.append(np.asarray(better > worse, int))
        return np.concatenate(right)

    def _frozen(self) -> Scorer:
        part = common.frozen_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets)
        return Scorer(part, None)

    def _optimiser(self) -> optax.GradientTransformation:
        return common.adamw(self.learning_rate, self.max_grad_norm, self.warmup, self.steps if self.anneal else None)

    @eqx.filter_jit
    def _improve(self, state: State, rows: Answers, margins: Array) -> tuple[State, Metrics]:
        params, optimiser, metrics = common.gradient_step(
            self._loss, self._optimiser(), state.params, state.optimiser, self._frozen(), rows, margins
        )
        return State(params, optimiser, state.key, state.iteration + 1), metrics

    def _loss(self, params: Scorer, frozen: Scorer, rows: Answers, margins: Array) -> tuple[Array, Metrics]:
        chosen, rejected = jnp.split(final_scores(eqx.combine(params, frozen), rows), 2)
        loss = bradley_terry_loss(chosen, rejected, margins).mean()
        total = loss + self.centring_coef * centring_loss(chosen, rejected).mean()
        return total, {"loss": loss} | preference_metrics(chosen, rejected, 1.0)


def final_scores(scorer: Scorer, rows: Answers) -> Array:
    """The score after the last token of every row, ``[B]``."""
    tokens = jnp.concatenate([rows.observation[:, :1], rows.action], axis=1)
    last = jnp.max(jnp.where(rows.mask, jnp.arange(1, tokens.shape[1]), 0), axis=1)
    return score_at(scorer, tokens, last)


_final_scores = eqx.filter_jit(final_scores)
