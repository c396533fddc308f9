"""SPIN: self-play fine-tuning (Chen et al. 2024, arXiv 2401.01335).

Idea: the model plays against its former self. The opponent, the previous iterate, answers a prompt; the player learns
to distinguish the demonstration from that answer, which makes it write more like the demonstration; then the player
becomes the opponent. The loss is DPO's: chosen is the demonstration, rejected the opponent's sample, the opponent the
reference. It has converged when samples and demonstrations can no longer be distinguished, and needs demonstrations
only.

Departures: samples are drawn for each gradient step, not all before an iteration; the paper's first iterations train
for two epochs each, here every iteration takes ``iteration_length`` steps. Adam is reset with every opponent.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.algorithms.language.fine_tuning import Adam, iteration_key, update
from puzzlebox.algorithms.language.preferences import pair_step
from puzzlebox.algorithms.language.writing import Writing
from puzzlebox.data.preferences import Answers, Pair, longest_answer, pair_rows
from puzzlebox.errors import UsageError
from puzzlebox.fields import param, part
from puzzlebox.ops.preference_losses import dpo_loss
from puzzlebox.types import Array, Key, Metrics


class State(NamedTuple):
    """As in `fine_tuning`; ``opponent`` is the trained part of the previous iterate."""

    params: Any
    optimiser: optax.OptState
    key: Key
    iteration: Array
    opponent: Any


class SPIN(Writing):
    """Learns to write demonstrations rather than what it wrote an iteration ago."""

    steps: int = param(300, "gradient steps of the whole training", low=1)
    iteration_length: int = param(100, "gradient steps against one opponent", low=1)
    batch_size: int = param(32, "demonstrations per gradient step", low=1)
    beta: float = param(0.1, "β (the paper's λ), how strongly the opponent holds the player", low=1e-6)
    optimiser: Adam = part(Adam, learning_rate=5e-7, warmup=10)  # the warm-up is that of each iteration

    def __check_init__(self):
        if not self.env.examples("train", 1, 0)[0].completion:
            raise UsageError("this task has no demonstrations; spin needs a completion for every prompt")

    @property
    def needs_verdicts(self) -> bool:
        return False

    def init(self, key: Key) -> State:
        begun = super().init(key)
        return State(begun.params, begun.optimiser, key, begun.iteration, jax.tree.map(jnp.copy, begun.params))

    def step(self, state: State) -> tuple[State, Metrics]:
        # a new opponent
        if int(state.iteration) and int(state.iteration) % self.iteration_length == 0:
            state = state._replace(opponent=state.params, optimiser=self.transform().init(state.params))

        # it answers prompts, whose demonstrations are preferred to its answers
        prompts_key, generate_key = jax.random.split(iteration_key(state))
        opponent = self.model_with(state.opponent)
        examples, prompts = self.draw_prompts(self.batch_size, prompts_key)
        written = self.write(opponent, prompts, generate_key)
        shown = [opponent.encode_answered(p, e.completion) for p, e in zip(prompts, examples, strict=True)]
        pairs = [Pair(*demonstration, ids) for demonstration, ids in zip(shown, written.ids, strict=True)]

        # improve
        rows = pair_rows(pairs, self.start)
        state, metrics = self._improve(state, rows, longest_answer(rows))
        same = sum(pair.chosen == pair.rejected for pair in pairs) / len(pairs)
        return state, metrics | {"frac_same": jnp.float32(same)}

    @update
    def _improve(self, state: State, rows: Answers, count: int) -> tuple[State, Metrics]:
        reference = eqx.combine(state.opponent, self.frozen())
        return pair_step(self, partial(dpo_loss, beta=self.beta), state, reference, rows, count)
