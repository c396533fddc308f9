"""KTO: Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv 2402.01306).

Idea: people seldom compare two answers, but they do call one good or bad. Relative to the reference, a good completion
is to become likelier by more than z, a bad one by less, with a value function that saturates on both sides, as people's
sense of gains and losses does (prospect theory). z is the log-ratio of an arbitrary completion: the divergence KL(π ‖
π_ref), estimated from completions behind another row's prompt.

Departures: every completion is paired with the prompt of the row before it (the paper: any other one). Rows without
labels of their own, such as those of a file of preferences, give one good and one bad completion each.
"""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from puzzlebox.acting.pairs import find_labels
from puzzlebox.algorithms.language.fine_tuning import State, gradient_step, update
from puzzlebox.algorithms.language.preferences import JudgedData, log_probs
from puzzlebox.data.preferences import Answers, Label, answer_rows, longest_answer
from puzzlebox.errors import PuzzleboxError
from puzzlebox.fields import param
from puzzlebox.ops.masks import masked_mean
from puzzlebox.ops.preference_losses import kto_baseline, kto_loss
from puzzlebox.types import Array, Metrics


class KTO(JudgedData):
    """Learns from completions that are each said to be wanted or not."""

    kinds: ClassVar[tuple[str, ...]] = ("label", "preference", "ranking")

    batch_size: int = param(32, "completions per gradient step", low=2)
    beta: float = param(0.1, "β, how strongly the reference holds the policy", low=1e-6)
    desirable_weight: float = param(1.0, "weight of the wanted completions", low=0.0)
    undesirable_weight: float = param(1.0, "weight of the unwanted ones", low=0.0)

    def step(self, state: State) -> tuple[State, Metrics]:
        labels = self.labels()
        batch = self.batch(labels, state)
        prompts, texts = [label.prompt for label in batch], [label.completion for label in batch]
        # the second half of the rows: every completion behind the prompt of the row before it
        rows = answer_rows(prompts * 2, texts + texts[1:] + texts[:1], self.start)
        wanted = jnp.array([label.wanted for label in batch])
        state, metrics = self._improve(state, rows, wanted, longest_answer(rows))
        good = sum(label.wanted for label in labels)
        # TRL's advice: between 1 and 4/3
        metrics["weight_balance"] = jnp.float32(
            self.desirable_weight * good / max(self.undesirable_weight * (len(labels) - good), 1e-9)
        )
        return state, metrics

    def labels(self) -> list[Label]:
        """All labelled completions; found once. Raises PuzzleboxError where all of them are wanted, or none."""
        settings = (self.num_prompts, self.num_samples, self.temperature)
        found = self.memory.get(settings, lambda: find_labels(self.env, self.start, "train", *settings))
        if len({label.wanted for label in found}) == 1:
            raise PuzzleboxError(
                f"all {len(found)} completions are {'wanted' if found[0].wanted else 'unwanted'}; kto learns from both "
                "kinds: raise num_samples or the temperature, or start from another model"
            )
        return found

    @update
    def _improve(self, state: State, rows: Answers, wanted: Array, count: int) -> tuple[State, Metrics]:
        frozen, reference = self.frozen(), log_probs(self.start.decoder, rows, count)

        def objective(params: Any) -> tuple[Array, Metrics]:
            log_prob = log_probs(eqx.combine(params, frozen), rows, count)
            own, mismatched = jnp.split(log_prob - reference, 2)
            baseline = kto_baseline(mismatched)
            losses = kto_loss(own, wanted, baseline, self.beta, self.desirable_weight, self.undesirable_weight)
            good, bad = masked_mean(self.beta * own, wanted), masked_mean(self.beta * own, ~wanted)
            own_log_prob = jnp.split(log_prob, 2)[0]
            metrics = {"loss": losses.mean(), "kl": baseline, "rewards/chosen": good, "rewards/rejected": bad}
            metrics |= {"rewards/margins": good - bad, "frac_desirable": wanted.mean()}
            metrics |= {"logps/chosen": masked_mean(own_log_prob, wanted)}
            metrics |= {"logps/rejected": masked_mean(own_log_prob, ~wanted)}
            return losses.mean(), metrics

        return gradient_step(objective, self.transform(), state)
