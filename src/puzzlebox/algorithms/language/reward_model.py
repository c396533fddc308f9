"""A reward model from comparisons: step two of RLHF (Ouyang et al. 2022, arXiv 2203.02155).

Idea: people rank answers more reliably than they grade them. So a score is learned that is higher for the better of two
answers: P(A beats B) = σ(s_A − s_B), Bradley and Terry 1952. A ranking of more than two gives all its pairs.

The score is a linear function of the language model's hidden state after the last token. A task with a verifier makes
its own comparisons: completions that the starting model samples, and the demonstration, ranked by the verifier.

Departure: the pairs of one ranking are not kept in one batch.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from puzzlebox.acting.judge import Judge, final_scores
from puzzlebox.algorithms.language.fine_tuning import Adam, State, gradient_step, initial_state, update
from puzzlebox.algorithms.language.preferences import JudgedData
from puzzlebox.data.preferences import Answers, pair_rows
from puzzlebox.fields import param, part
from puzzlebox.nets.scorer import Scorer, zero_head
from puzzlebox.ops.preference_losses import bradley_terry_loss, centring_loss, preference_metrics
from puzzlebox.types import Array, Key, Metrics


class RewardModel(JudgedData):
    """Learns which of two completions is better, as a score."""

    margin: bool = param(False, "the scores shall differ by as much as the data's margin, or the rewards")
    centring_coef: float = param(0.01, "weight of (sum of a pair's scores)², which keeps scores near zero", low=0.0)
    optimiser: Adam = part(Adam, learning_rate=1e-4, warmup=10)

    def init(self, key: Key) -> State:
        decoder = self.start.decoder
        return initial_state(Scorer(self.lora.trained(decoder, key), zero_head(decoder)), self.transform(), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        batch = self.batch(self.pairs(demonstrations=True), state)
        margins = jnp.array([pair.margin if self.margin else 0.0 for pair in batch])
        return self._improve(state, pair_rows(batch, self.start), margins)

    def policy(self, state: State, greedy: bool = False) -> Judge:
        return Judge(eqx.combine(state.params, self.frozen()), self.start.tokenizer)

    def frozen(self) -> Scorer:
        return Scorer(super().frozen(), None)

    @update
    def _improve(self, state: State, rows: Answers, margins: Array) -> tuple[State, Metrics]:
        return gradient_step(self._loss, self.transform(), state, self.frozen(), rows, margins)

    def _loss(self, params: Scorer, frozen: Scorer, rows: Answers, margins: Array) -> tuple[Array, Metrics]:
        chosen, rejected = jnp.split(final_scores(eqx.combine(params, frozen), rows), 2)
        loss = bradley_terry_loss(chosen, rejected, margins).mean()
        total = loss + self.centring_coef * centring_loss(chosen, rejected).mean()
        return total, {"loss": loss} | preference_metrics(chosen, rejected, 1.0)
