"""Algorithms that learn from judged completions: those of a file, or those that the starting model writes once.

Also the objective that DPO, IPO, SPIN and Online DPO share: a loss on the gap between two log-ratios, log π/π_ref of
the chosen completion and of the rejected one.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import optax

from puzzlebox.acting.pairs import Memory, check_source, find_pairs
from puzzlebox.acting.score import score
from puzzlebox.algorithms.language.fine_tuning import Adam, FineTuning, State, gradient_step, update
from puzzlebox.data.packing import batch_indices, host_seed
from puzzlebox.data.preferences import Answers, Pair, longest_answer, pair_rows
from puzzlebox.fields import param, part
from puzzlebox.nets.decoder import Decoder
from puzzlebox.ops.masks import masked_mean
from puzzlebox.ops.preference_losses import preference_metrics
from puzzlebox.types import Array, Metrics

PairLoss = Callable[[Array, Array], Array]  # log-ratios of chosen and rejected [B] -> loss [B]


class JudgedData(FineTuning):
    """Batches of judged completions, in a new order in every pass."""

    kinds: ClassVar[tuple[str, ...]] = ("preference", "ranking")  # of files that say what is better

    steps: int = param(300, "gradient steps of the whole training", low=1)
    batch_size: int = param(16, "pairs per gradient step", low=1)
    num_prompts: int = param(500, "problems of a task that are answered and judged (a file gives all it has)", low=1)
    num_samples: int = param(8, "completions of each problem by the starting model", low=1)
    temperature: float = param(1.0, "of those completions", low=1e-3)
    optimiser: Adam = part(Adam, warmup=10)
    anneal: bool = param(True, "let the step size fall to zero")
    memory: Memory = eqx.field(default_factory=Memory, static=True, repr=False)

    def __check_init__(self):
        check_source(self.env, self.kinds)

    def transform(self) -> optax.GradientTransformation:
        return self.optimiser.transform(anneal_over=self.steps if self.anneal else None)

    def pairs(self, split: str = "train", demonstrations: bool = False) -> list[Pair]:
        """All pairs of a file, or those made of a task's problems; found once."""
        settings = (split, self.num_prompts, self.num_samples, self.temperature, 0, demonstrations)
        return self.memory.get(settings, lambda: find_pairs(self.env, self.start, *settings))

    def batch(self, items: list[Any], state: Any) -> list[Any]:
        """The ``batch_size`` of the ``items`` that this iteration learns from."""
        chosen = batch_indices(len(items), self.batch_size, int(state.iteration), host_seed(state.key))
        return [items[i] for i in chosen]


class PairwisePreferences(JudgedData):
    """One gradient step on a batch of pairs; the algorithms differ in `pair_loss`."""

    beta: float = param(0.1, "β, how strongly the reference holds the policy", low=1e-6)
    num_samples: int = param(8, "completions of each problem by the starting model", low=2)

    def step(self, state: State) -> tuple[State, Metrics]:
        rows = pair_rows(self.batch(self.pairs(), state), self.start)
        return self._improve(state, rows, longest_answer(rows))

    @update
    def _improve(self, state: State, rows: Answers, count: int) -> tuple[State, Metrics]:
        return pair_step(self, self.pair_loss, state, self.start.decoder, rows, count, per_token=self.per_token)

    @property
    def per_token(self) -> bool:
        """Whether a completion's log-ratio is the mean over its tokens, not their sum."""
        return False

    @abc.abstractmethod
    def pair_loss(self, chosen: Array, rejected: Array) -> Array:
        """The loss of every pair ``[B]``, from log π/π_ref of its chosen and its rejected completion ``[B]``, nats."""


def pair_step(
    algorithm: Any,
    loss: PairLoss,
    state: Any,
    reference: Decoder,
    rows: Answers,
    count: int,
    counts: Array | None = None,
    per_token: bool = False,
) -> tuple[Any, Metrics]:
    """One gradient step on the mean of ``loss`` over pairs: rows ``[2 B, T]``, chosen ones first.

    ``algorithm`` has β, the optimiser and the frozen part; ``reference`` is the model of log π_ref. ``count``: tokens
    of the longest completion (see `score`). Pairs where ``counts [B]`` is False teach nothing. With ``per_token`` a
    log-ratio is the mean over the completion's tokens, otherwise the sum. Returns the new state and metrics.
    """
    reference_log_prob = log_probs(reference, rows, count)
    length = jnp.maximum(rows.mask.sum(axis=1), 1)
    counts = jnp.ones(len(length) // 2, bool) if counts is None else counts
    frozen = algorithm.frozen()

    def objective(params: Any) -> tuple[Array, Metrics]:
        log_prob = log_probs(eqx.combine(params, frozen), rows, count)
        ratio = log_prob - reference_log_prob
        chosen, rejected = jnp.split(ratio / length if per_token else ratio, 2)
        value = masked_mean(loss(chosen, rejected), counts)
        return value, {"loss": value} | pair_metrics(chosen, rejected, log_prob, algorithm.beta, counts)

    return gradient_step(objective, algorithm.transform(), state)


def log_probs(decoder: Decoder, rows: Answers, count: int) -> Array:
    """log π(completion | prompt) of every row, in nats, ``[B]``; ``count`` as in `score`."""
    observation, action, mask = (jnp.asarray(x) for x in rows)
    return score(decoder, observation, action, mask, count)[0].sum(axis=1)


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
