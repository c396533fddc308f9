"""DPO: direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290).

Idea: the policy that RLHF aims at says which rewards it is best for, r = β log π/π_ref + something of the prompt alone.
Put that into Bradley and Terry's model of preferences and no reward model is left: of two completions the better one
shall gain more on the reference than the worse one. The reference is a rubber band, β its strength.

Other losses on the same gap are choices: ``hinge`` (SLiC, RSO), and for labels that are wrong with chance
``label_smoothing`` cDPO (``sigmoid``) and ``robust``. IPO, SPIN and Online DPO take `improve` from here.

Departures: a task with a verifier makes its own pairs, from completions of the starting model, once and before the
first step. The reference's log-probabilities are computed in the step, so that a resumed run repeats them exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting.score import score
from puzzlebox.algorithms.language import common, preferences
from puzzlebox.algorithms.language.common import State
from puzzlebox.algorithms.language.preferences import Answers, Memory, Pair
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.packing import batch_indices
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.decoder import Decoder
from puzzlebox.ops.masks import masked_mean
from puzzlebox.ops.preference_losses import dpo_loss, hinge_loss, preference_metrics, robust_dpo_loss
from puzzlebox.types import Array, Key, Metrics

PairLoss = Callable[[Array, Array], Array]  # log-ratios of chosen and rejected [B] -> loss [B]


class DPO(eqx.Module):
    """Makes chosen completions likelier and rejected ones less likely, both against the starting model."""

    env: Any
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    steps: int = param(300, "gradient steps of the whole training", low=1)
    batch_size: int = param(16, "pairs per gradient step", low=1)
    beta: float = param(0.1, "β, how strongly the reference holds the policy", low=1e-6)
    loss: str = param("sigmoid", "of the gap: DPO's, or another", choices=("sigmoid", "hinge", "robust"))
    label_smoothing: float = param(0.0, "share of the preferences taken to be wrong", low=0.0, high=0.49)
    num_prompts: int = param(500, "problems of a task that pairs are made of (a file gives all it has)", low=1)
    num_samples: int = param(8, "completions of each problem by the starting model", low=2)
    temperature: float = param(1.0, "of those completions", low=1e-3)
    learning_rate: float = param(1e-6, "Adam's step size", low=0.0)
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
        params = common.trained_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets, key)
        return common.begin(params, self._optimiser(), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        pairs = self.pairs()
        chosen = batch_indices(len(pairs), self.batch_size, int(state.iteration), common.host_seed(state.key))
        rows = preferences.pair_rows([pairs[i] for i in chosen], self.start)
        return self._improve(state, rows, preferences.most_masked(rows))

    def policy(self, state: State, greedy: bool = False) -> LanguageModel:
        return LanguageModel(eqx.combine(state.params, self._frozen()), self.start.tokenizer)

    def pairs(self) -> list[Pair]:
        """What is learned from; found once."""
        settings = (self.num_prompts, self.num_samples, self.temperature)
        return self.memory.get(settings, lambda: preferences.find_pairs(self.env, self.start, "train", *settings))

    def _frozen(self) -> Any:
        return common.frozen_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets)

    def _optimiser(self) -> optax.GradientTransformation:
        return common.adamw(self.learning_rate, self.max_grad_norm, self.warmup, self.steps if self.anneal else None)

    @eqx.filter_jit
    def _improve(self, state: State, rows: Answers, count: int) -> tuple[State, Metrics]:
        losses = {
            "sigmoid": partial(dpo_loss, beta=self.beta, label_smoothing=self.label_smoothing),
            "hinge": partial(hinge_loss, beta=self.beta),
            "robust": partial(robust_dpo_loss, beta=self.beta, label_smoothing=self.label_smoothing),
        }
        return improve(
            losses[self.loss], self.beta, self._optimiser(), state, self._frozen(), self.start.decoder, rows, count
        )


def improve(
    loss: PairLoss,
    beta: float,
    transform: optax.GradientTransformation,
    state: Any,
    frozen: Any,
    reference: Decoder,
    rows: Answers,
    count: int,
    counts: Array | None = None,
    per_token: bool = False,
) -> tuple[Any, Metrics]:
    """One gradient step on the mean of ``loss`` over pairs: rows ``[2 B, T]``, chosen ones first.

    Pairs where ``counts [B]`` is False teach nothing. With ``per_token`` a log-ratio is the mean over the completion's
    tokens, otherwise their sum. Returns the state after it, and the metrics.
    """
    reference_log_prob = log_probs(reference, rows, count)
    length = jnp.maximum(rows.mask.sum(axis=1), 1)
    counts = jnp.ones(len(length) // 2, bool) if counts is None else counts

    def objective(params: Any) -> tuple[Array, Metrics]:
        log_prob = log_probs(eqx.combine(params, frozen), rows, count)
        ratio = log_prob - reference_log_prob
        chosen, rejected = jnp.split(ratio / length if per_token else ratio, 2)
        value = masked_mean(loss(chosen, rejected), counts)
        return value, {"loss": value} | pair_metrics(chosen, rejected, log_prob, beta, counts)

    params, optimiser, metrics = common.gradient_step(objective, transform, state.params, state.optimiser)
    return state._replace(params=params, optimiser=optimiser, iteration=state.iteration + 1), metrics


def log_probs(decoder: Decoder, rows: Answers, count: int) -> Array:
    """log π(completion | prompt) of every row, ``[B]``; ``count`` as in `score`."""
    rows = jax.tree.map(jnp.asarray, rows)
    return score(decoder, *rows, count)[0].sum(axis=1)


def pair_metrics(chosen: Array, rejected: Array, log_prob: Array, beta: float, counts: Array) -> Metrics:
    """Implicit rewards, log-probabilities and probabilities of whole completions, means over the pairs that count."""
    log_prob_chosen, log_prob_rejected = jnp.split(log_prob, 2)
    mean = lambda x: masked_mean(x, counts)  # noqa: E731
    return preference_metrics(chosen, rejected, beta, counts) | {
        "logps/chosen": mean(log_prob_chosen),
        "logps/rejected": mean(log_prob_rejected),
        "probability/chosen": mean(jnp.exp(log_prob_chosen)),
        "probability/rejected": mean(jnp.exp(log_prob_rejected)),
    }
