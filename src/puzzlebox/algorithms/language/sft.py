"""SFT: supervised fine-tuning, and pre-training on texts without prompts.

Idea: make the demonstrations likely, token by token; of each demonstration only the completion counts. In the words of
this package: behaviour cloning of sentences. Source: Ouyang et al. 2022 (InstructGPT), arXiv 2203.02155, step 1.

Departures: several demonstrations share a row without seeing each other (packing), so little work goes into padding. A
text without prompt that is longer than a row goes on in further rows; texts never run into each other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import equinox as eqx
import optax

from puzzlebox.acting.generate import bucket
from puzzlebox.acting.score import score
from puzzlebox.algorithms.language import common
from puzzlebox.algorithms.language.common import State
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.packing import Rows, Written, batch_indices, cut, pack, take
from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.ops.masks import masked_mean
from puzzlebox.types import Array, Key, Metrics

LONGEST = 1024  # tokens of a row of plain text, at most, unless ``length`` says otherwise


class SFT(eqx.Module):
    """Learns demonstrations by heart, token by token; without prompts it is pre-training."""

    env: Any
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    steps: int = param(300, "gradient steps of the whole training", low=1)
    batch_size: int = param(32, "rows per gradient step", low=1)
    length: int = param(0, "tokens of a row; 0: what the longest demonstration needs (plain text: at most 1024)", low=0)
    packing: bool = param(True, "let demonstrations share rows")
    completion_only: bool = param(True, "prompts are read, not learned")
    num_examples: int = param(10_000, "demonstrations drawn from a task (a file gives all it has)", low=1)
    learning_rate: float = param(2e-5, "Adam's step size", low=0.0)
    warmup: int = param(10, "updates over which the step size rises", low=0)
    anneal: bool = param(True, "let the step size fall to zero")
    max_grad_norm: float = param(1.0, "gradients longer than this are shortened to it", low=0.0)
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
        rows = self._rows()
        chosen = batch_indices(len(rows.mask), self.batch_size, int(state.iteration), common.host_seed(state.key))
        return self.learn(state, take(rows, chosen))

    def policy(self, state: State, greedy: bool = False) -> LanguageModel:
        return LanguageModel(eqx.combine(state.params, self._frozen()), self.start.tokenizer)

    def _frozen(self) -> Any:
        return common.frozen_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets)

    def _optimiser(self) -> optax.GradientTransformation:
        return common.adamw(self.learning_rate, self.max_grad_norm, self.warmup, self.steps if self.anneal else None)

    def _rows(self) -> Rows:
        tokenizer, context = self.start.tokenizer, self.start.decoder.config.context
        return demonstrations(
            self.env, tokenizer, context, self.num_examples, self.length, self.packing, self.completion_only
        )

    @eqx.filter_jit
    def learn(self, state: State, rows: Rows) -> tuple[State, Metrics]:
        """One gradient step on these rows; what ``state`` held is used up."""
        params, optimiser, metrics = common.gradient_step(
            self._loss, self._optimiser(), state.params, state.optimiser, self._frozen(), rows
        )
        return State(params, optimiser, state.key, state.iteration + 1), metrics

    def _loss(self, params, frozen, rows: Rows) -> tuple[Array, Metrics]:
        decoder = eqx.combine(params, frozen)
        log_prob, entropy = score(
            decoder, rows.observation, rows.action, rows.mask, positions=rows.positions, segments=rows.segments
        )
        loss = -masked_mean(log_prob, rows.mask)
        return loss, {"loss": loss, "entropy": masked_mean(entropy, rows.mask), "tokens": rows.mask.sum()}


@lru_cache(maxsize=4)
def demonstrations(
    env: Any, tokenizer: Tokenizer, context: int, count: int, length: int, packing: bool, completion_only: bool
) -> Rows:
    """All demonstrations of a file, or ``count`` of a task, as rows; only texts without prompt are cut.

    Raises UsageError where there are none, and for one that is longer than a row or than the model's ``context``.
    """
    if length > context:
        raise UsageError(f"length is {length}, but the model reads at most {context} tokens; lower --length")
    examples = env.examples("train", len(env.rows("train")) if hasattr(env, "rows") else count, 0)
    if not any(example.completion for example in examples):
        if examples[0].source:
            columns = "a column 'completion', 'chosen', 'text' or 'messages'"
            raise UsageError(f"{examples[0].source} has no demonstration; sft learns from {columns}")
        raise UsageError("this task has no demonstrations to learn from; sft needs a completion for every prompt")
    model, whole, texts = LanguageModel(None, tokenizer), [], []  # type: ignore[arg-type]  # it only encodes
    longest, limit = 0, length or context
    known: dict[str, tuple[list[int], list[int]]] = {}  # a problem that comes several times is encoded once
    for example in examples:
        name = repr((example.prompt, example.completion))
        if name not in known:
            known[name] = common.written(model, model.ask(example.prompt, env.chat), example.completion)
        prompt, completion = known[name]
        counts = [not completion_only] * len(prompt) + [True] * len(completion)
        text = Written(prompt + completion, counts)
        if not example.prompt:
            texts.append(text)
            continue
        longest = max(longest, len(text.tokens) - 1)
        if longest > limit:
            way_out = "shorten it or raise --length" if length else "shorten it or choose a model with a longer context"
            raise UsageError(
                f"{example.source or 'a demonstration'} has {longest + 1} tokens with its prompt, and a row takes "
                f"{limit + 1}; {way_out}"
            )
        whole.append(text)
    if not length:
        longest = max([longest, *(min(len(text.tokens) - 1, LONGEST) for text in texts)])
        length = min(bucket(max(longest, 64) if packing else longest), context)
    return pack(whole + [part for text in texts for part in cut(text, length)], length, tokenizer.pad_id, packing)
