"""SPIN: self-play fine-tuning (Chen et al. 2024, arXiv 2401.01335).

Idea: the model plays against its former self. The opponent, the iterate before, answers a prompt; the player learns to
tell the demonstration from that answer, which makes it write more like the demonstration; then the player becomes the
opponent. The loss is DPO's: chosen is the demonstration, rejected the opponent's sample, the opponent the reference.
It ends where samples and demonstrations can no longer be told apart, and needs nothing but demonstrations.

Departures: samples are drawn for each gradient step, not all before an iteration; the paper's first iterations train
two epochs each, here every one takes `iteration_length` steps. Adam starts afresh with every opponent.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting.generate import Sampling, completions
from puzzlebox.algorithms.language import common, preferences
from puzzlebox.algorithms.language.dpo import improve
from puzzlebox.algorithms.language.preferences import Answers, Pair
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.ops.preference_losses import dpo_loss
from puzzlebox.types import Array, Key, Metrics


class State(NamedTuple):
    """As in `common`; ``opponent`` is the iterate before, the part of it that trains."""

    params: Any
    optimiser: optax.OptState
    key: Key
    iteration: Array
    opponent: Any


class SPIN(eqx.Module):
    """Learns to write demonstrations rather than what it wrote an iteration ago."""

    env: Any
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    steps: int = param(300, "gradient steps of the whole training", low=1)
    iteration_length: int = param(100, "gradient steps against one opponent", low=1)
    batch_size: int = param(32, "demonstrations per gradient step", low=1)
    max_tokens: int = param(0, "longest completion; 0: what the task needs", low=0)
    temperature: float = param(1.0, "of the opponent's samples", low=1e-3)
    beta: float = param(0.1, "β (the paper's λ), how strongly the opponent holds the player", low=1e-6)
    learning_rate: float = param(5e-7, "Adam's step size", low=0.0)
    warmup: int = param(10, "updates of each iteration over which the step size rises", low=0)
    max_grad_norm: float = param(1.0, "gradients longer than this are shortened to it", low=0.0)
    lora_rank: int = param(0, "rank of the adapters; 0 trains every weight", low=0)
    lora_alpha: float = param(32.0, "adapters are scaled by alpha / rank", low=0.0)
    lora_targets: str = param("all", "layers with adapters: query,key,value,out,gate,up,down or all")

    def __check_init__(self):
        check_fields(self)
        if not self.env.examples("train", 1, 0)[0].completion:
            raise UsageError("this task has no demonstrations; spin needs a completion for every prompt")

    @property
    def iteration_steps(self) -> int:
        return 1

    def init(self, key: Key) -> State:
        params = common.trained_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets, key)
        return State(*common.begin(params, self._optimiser(), key), opponent=jax.tree.map(jnp.copy, params))

    def step(self, state: State) -> tuple[State, Metrics]:
        if int(state.iteration) and int(state.iteration) % self.iteration_length == 0:
            state = state._replace(opponent=state.params, optimiser=self._optimiser().init(state.params))
        prompts_key, generate_key = jax.random.split(common.iteration_key(state))
        opponent = LanguageModel(eqx.combine(state.opponent, self._frozen()), self.start.tokenizer)
        examples = common.draw_examples(self.env, self.batch_size, prompts_key)
        prompts = [opponent.ask(example.prompt, self.env.chat) for example in examples]
        trajectory, _ = common.experience(
            opponent,
            prompts,
            generate_key,
            max_tokens=self.max_tokens or self.env.max_tokens,
            sampling=Sampling(self.temperature),
        )
        shown = [common.written(opponent, p, e.completion) for p, e in zip(prompts, examples, strict=True)]
        pairs = [Pair(*pair, written) for pair, written in zip(shown, completions(trajectory), strict=True)]
        rows = preferences.pair_rows(pairs, self.start)
        state, metrics = self._improve(state, rows, preferences.most_masked(rows))
        same = sum(pair.chosen == pair.rejected for pair in pairs) / len(pairs)
        return state, metrics | {"frac_same": jnp.float32(same)}

    def policy(self, state: State, greedy: bool = False) -> LanguageModel:
        return LanguageModel(eqx.combine(state.params, self._frozen()), self.start.tokenizer)

    def _frozen(self) -> Any:
        return common.frozen_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets)

    def _optimiser(self) -> optax.GradientTransformation:
        return common.adamw(self.learning_rate, self.max_grad_norm, self.warmup)

    @eqx.filter_jit
    def _improve(self, state: State, rows: Answers, count: int) -> tuple[State, Metrics]:
        frozen, loss = self._frozen(), partial(dpo_loss, beta=self.beta)
        reference = eqx.combine(state.opponent, frozen)
        return improve(loss, self.beta, self._optimiser(), state, frozen, reference, rows, count)
