"""SFT: supervised fine-tuning, and pre-training on texts without prompts.

Idea: maximise the likelihood of demonstrations, token by token; of each demonstration only the completion counts. In
the terms of reinforcement learning: behaviour cloning. Source: Ouyang et al. 2022 (InstructGPT), arXiv 2203.02155, step
1.

Departures: several demonstrations share a row without seeing each other (packing), so little work is wasted on padding.
A text without prompt that is longer than a row continues in further rows; no text attends to another.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import optax

from puzzlebox.acting.score import score
from puzzlebox.algorithms.language.fine_tuning import (
    Adam,
    FineTuning,
    State,
    answers_of,
    check_answers,
    gradient_step,
    update,
)
from puzzlebox.data.demonstrations import demonstrations
from puzzlebox.data.packing import Rows, batch_indices, host_seed, take
from puzzlebox.fields import param, part
from puzzlebox.ops.masks import masked_mean
from puzzlebox.types import Array, Metrics, TaskOfRows


class SFT(FineTuning):
    """Learns demonstrations by heart, token by token; without prompts it is pre-training."""

    steps: int = param(300, "gradient steps of the whole training", low=1)
    batch_size: int = param(32, "rows per gradient step", low=1)
    length: int = param(0, "tokens of a row; 0: what the longest demonstration needs (plain text: at most 1024)", low=0)
    packing: bool = param(True, "let demonstrations share rows")
    completion_only: bool = param(True, "prompts are read, not learned")
    num_examples: int = param(10_000, "demonstrations drawn from a task (a file gives all it has)", low=1)
    optimiser: Adam = part(Adam, learning_rate=2e-5, warmup=10)
    anneal: bool = param(True, "let the step size fall to zero")

    def step(self, state: State) -> tuple[State, Metrics]:
        rows = self.rows()
        chosen = batch_indices(len(rows.mask), self.batch_size, int(state.iteration), host_seed(state.key))
        return self._improve(state, take(rows, chosen))

    def transform(self) -> optax.GradientTransformation:
        return self.optimiser.transform(anneal_over=self.steps if self.anneal else None)

    def rows(self) -> Rows:
        """All demonstrations as rows; made once."""
        tokenizer, context = self.start.tokenizer, self.start.decoder.config.context
        task: Any = self.env  # hashable, so that `demonstrations` can cache by it
        return demonstrations(
            task, tokenizer, context, self.num_examples, self.length, self.packing, self.completion_only
        )

    @update
    def _improve(self, state: State, rows: Rows) -> tuple[State, Metrics]:
        """One gradient step on these rows."""
        return gradient_step(self.loss, self.transform(), state, self.frozen(), rows)

    def loss(self, params: Any, frozen: Any, rows: Rows) -> tuple[Array, Metrics]:
        """−log π of the tokens that count, nats per token, where ``params`` and ``frozen`` together are the model."""
        log_prob, entropy = score(
            eqx.combine(params, frozen),
            rows.observation,
            rows.action,
            rows.mask,
            positions=rows.positions,
            segments=rows.segments,
        )
        loss = -masked_mean(log_prob, rows.mask)
        return loss, {"loss": loss, "entropy": masked_mean(entropy, rows.mask), "tokens": rows.mask.sum()}

    def check_rows(self) -> None:
        """Raises UsageError for the first row of a file that is too long or has nothing to learn."""
        self.rows()
        for row in self.env.dataset.rows if isinstance(self.env, TaskOfRows) else ():
            if answers := answers_of(row):
                check_answers(self.start, row, answers)
