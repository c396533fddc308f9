"""IPO: identity preference optimisation (Azar et al. 2023, "A general theoretical paradigm", arXiv 2310.12036).

Idea: DPO drives the gap between chosen and rejected to infinity where the preferences are certain, and then β holds
nothing. IPO asks for a gap of a fixed size, 1/(2β), with a squared loss. It is DPO with another loss function.

Two conventions are in use. ``--average false`` is the paper's: log-ratios of whole completions. ``--average true``
takes their mean per token, as TRL does, so long completions are asked for a larger total gap; the same β then asks for
length times as much.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import equinox as eqx
import optax

from puzzlebox.algorithms.language import common, preferences
from puzzlebox.algorithms.language.common import State
from puzzlebox.algorithms.language.dpo import improve
from puzzlebox.algorithms.language.preferences import Answers, Memory, Pair
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.packing import batch_indices
from puzzlebox.fields import check_fields, param
from puzzlebox.ops.preference_losses import ipo_loss
from puzzlebox.types import Key, Metrics


class IPO(eqx.Module):
    """Pulls the gap between chosen and rejected completions to a fixed size."""

    env: Any
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    steps: int = param(300, "gradient steps of the whole training", low=1)
    batch_size: int = param(16, "pairs per gradient step", low=1)
    beta: float = param(0.1, "the gap asked for is 1/(2β) nats", low=1e-6)
    average: bool = param(False, "log-ratios are means over a completion's tokens, not sums")
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
        loss = partial(ipo_loss, beta=self.beta)
        return improve(
            loss, self.beta, self._optimiser(), state, self._frozen(), self.start.decoder, rows, count,
            per_token=self.average,
        )  # fmt: skip
