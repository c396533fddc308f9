"""KTO: Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv 2402.01306).

Idea: people seldom compare two answers, but they do say good or bad of one. A good completion shall gain on the
reference by more than z, a bad one by less, with a value that flattens on both sides as people's sense of gains and
losses does. z is what an arbitrary completion gains: the divergence KL(π ‖ π_ref), estimated from completions put
behind another row's prompt.

Departures: the other prompt is that of the next row of the batch (the paper: some other one). Rows that bring no
verdict of their own, such as a file of preferences, give one good and one bad completion each.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax

from puzzlebox.algorithms.language import common, preferences
from puzzlebox.algorithms.language.common import State
from puzzlebox.algorithms.language.dpo import log_probs
from puzzlebox.algorithms.language.preferences import Answers, Label, Memory
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.packing import batch_indices
from puzzlebox.errors import PuzzleboxError
from puzzlebox.fields import check_fields, param
from puzzlebox.ops.masks import masked_mean
from puzzlebox.ops.preference_losses import kto_baseline, kto_loss
from puzzlebox.types import Array, Key, Metrics


class KTO(eqx.Module):
    """Learns from completions that are each said to be wanted or not."""

    env: Any
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    steps: int = param(300, "gradient steps of the whole training", low=1)
    batch_size: int = param(32, "completions per gradient step", low=2)
    beta: float = param(0.1, "β, how strongly the reference holds the policy", low=1e-6)
    desirable_weight: float = param(1.0, "weight of the wanted completions", low=0.0)
    undesirable_weight: float = param(1.0, "weight of the unwanted ones", low=0.0)
    num_prompts: int = param(500, "problems of a task that are answered and judged (a file gives all it has)", low=1)
    num_samples: int = param(8, "completions of each problem by the starting model", low=1)
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
        preferences.check_source(self.env, ("label", "preference", "ranking"))

    @property
    def iteration_steps(self) -> int:
        return 1

    def init(self, key: Key) -> State:
        params = common.trained_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets, key)
        return common.begin(params, self._optimiser(), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        labels = self.labels()
        chosen = batch_indices(len(labels), self.batch_size, int(state.iteration), common.host_seed(state.key))
        batch = [labels[i] for i in chosen]
        prompts, texts = [label.prompt for label in batch], [label.completion for label in batch]
        # the second half of the rows: every completion behind the prompt of the row before it
        rows = preferences.rows_of(prompts * 2, texts + texts[1:] + texts[:1], self.start)
        wanted = jnp.array([label.wanted for label in batch])
        state, metrics = self._improve(state, rows, wanted, preferences.most_masked(rows))
        good = sum(label.wanted for label in labels)
        # TRL's advice: between 1 and 4/3
        metrics["weight_balance"] = jnp.float32(
            self.desirable_weight * good / max(self.undesirable_weight * (len(labels) - good), 1e-9)
        )
        return state, metrics

    def policy(self, state: State, greedy: bool = False) -> LanguageModel:
        return LanguageModel(eqx.combine(state.params, self._frozen()), self.start.tokenizer)

    def labels(self) -> list[Label]:
        """What is learned from; found once."""
        settings = (self.num_prompts, self.num_samples, self.temperature)
        found = self.memory.get(settings, lambda: preferences.find_labels(self.env, self.start, "train", *settings))
        if len({label.wanted for label in found}) == 1:
            raise PuzzleboxError(
                f"all {len(found)} completions are {'wanted' if found[0].wanted else 'unwanted'}; kto learns from both "
                "kinds: raise num_samples or the temperature, or start from another model"
            )
        return found

    def _frozen(self) -> Any:
        return common.frozen_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets)

    def _optimiser(self) -> optax.GradientTransformation:
        return common.adamw(self.learning_rate, self.max_grad_norm, self.warmup, self.steps if self.anneal else None)

    @eqx.filter_jit
    def _improve(self, state: State, rows: Answers, wanted: Array, count: int) -> tuple[State, Metrics]:
        frozen, reference = self._frozen(), log_probs(self.start.decoder, rows, count)

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

        params, optimiser, metrics = common.gradient_step(objective, self._optimiser(), state.params, state.optimiser)
        return State(params, optimiser, state.key, state.iteration + 1), metrics
