"""Online DPO (Guo et al. 2024, "Direct language model alignment from online AI feedback", arXiv 2402.04792).

Idea: DPO's pairs come from the starting model and grow stale as the policy moves away from it. Here the policy answers
each prompt twice in every iteration, a judge says which answer is better, and DPO's loss learns from that pair.

The judge is the task's verifier, a reward model (``--reward-model RUN``), or you (``--human true``: the two answers are
shown in the terminal, you press a, b, or = for a tie). A tie teaches nothing, so equal answers are not asked about.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from puzzlebox.acting.generate import Sampling
from puzzlebox.acting.keys import read_key
from puzzlebox.algorithms.language import common, preferences
from puzzlebox.algorithms.language.common import State
from puzzlebox.algorithms.language.dpo import improve
from puzzlebox.algorithms.language.preferences import Answers
from puzzlebox.data.language_model import LanguageModel, Prompt, printable
from puzzlebox.envs.text.task import Example
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.ops.preference_losses import dpo_loss
from puzzlebox.types import Array, Key, Metrics, Trajectory


class OnlineDPO(eqx.Module):
    """DPO on pairs that the policy itself writes, judged as they come."""

    env: Any
    start: LanguageModel
    model: str = param("new", "the model to start from: a run, a Hugging Face directory, a GGUF file, smollm2, new")
    steps: int = param(200, "iterations of the whole training", low=1)
    num_prompts: int = param(32, "prompts per iteration, each answered twice", low=1)
    num_epochs: int = param(1, "gradient steps on each iteration's pairs", low=1)
    max_tokens: int = param(0, "longest completion; 0: what the task needs", low=0)
    temperature: float = param(1.0, "of sampling", low=1e-3)
    beta: float = param(0.1, "β, how strongly the reference holds the policy", low=1e-6)
    learning_rate: float = param(5e-7, "Adam's step size", low=0.0)
    warmup: int = param(0, "updates over which the step size rises", low=0)
    max_grad_norm: float = param(1.0, "gradients longer than this are shortened to it", low=0.0)
    reward_model: str = param("", "run directory of a reward model that judges instead of the task")
    human: bool = param(False, "you judge, in the terminal: press a, b, or = for a tie")
    lora_rank: int = param(0, "rank of the adapters; 0 trains every weight", low=0)
    lora_alpha: float = param(32.0, "adapters are scaled by alpha / rank", low=0.0)
    lora_targets: str = param("all", "layers with adapters: query,key,value,out,gate,up,down or all")

    def __check_init__(self):
        check_fields(self)
        if self.human and self.reward_model:
            raise UsageError("human and reward_model are both given; one of them judges")
        if not self.human and not self.reward_model:
            preferences.check_source(self.env, ())

    @property
    def iteration_steps(self) -> int:
        return 1

    def init(self, key: Key) -> State:
        params = common.trained_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets, key)
        return common.begin(params, self._optimiser(), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        prompts_key, generate_key = jax.random.split(common.iteration_key(state))
        model = self.policy(state)
        examples = common.draw_examples(self.env, self.num_prompts, prompts_key)
        prompts = [model.ask(example.prompt, self.env.chat) for example in examples]
        trajectory, texts = common.experience(
            model,
            prompts,
            generate_key,
            max_tokens=self.max_tokens or self.env.max_tokens,
            sampling=Sampling(self.temperature),
            group=2,
        )
        scores = self._scores(examples, prompts, texts)
        trajectory = common.rewarded(trajectory, scores)
        rows, told_apart = ranked(trajectory, np.asarray(scores))
        state, learning = self._improve(state, rows, told_apart, preferences.most_masked(rows))
        return state, common.writing_metrics(trajectory) | learning | {"frac_ties": 1.0 - told_apart.mean()}

    def policy(self, state: State, greedy: bool = False) -> LanguageModel:
        return LanguageModel(eqx.combine(state.params, self._frozen()), self.start.tokenizer)

    def _frozen(self) -> Any:
        return common.frozen_part(self.start.decoder, self.lora_rank, self.lora_alpha, self.lora_targets)

    def _optimiser(self) -> optax.GradientTransformation:
        return common.adamw(self.learning_rate, self.max_grad_norm, self.warmup)

    def _scores(self, examples: Sequence[Example], prompts: Sequence[Prompt], texts: Sequence[str]) -> Sequence[float]:
        """What the judge gives each of the two completions of every prompt."""
        if self.human:
            pairs = list(zip(prompts, texts[0::2], texts[1::2], strict=True))
            asked = [ask(*pair, f"{number}/{len(pairs)}") for number, pair in enumerate(pairs, 1)]
            return [score for scores in asked for score in scores]
        return common.rewards(self.env, examples, texts, 2)

    @eqx.filter_jit
    def _improve(self, state: State, rows: Answers, told_apart: Array, count: int) -> tuple[State, Metrics]:
        loss, iteration, figures = partial(dpo_loss, beta=self.beta), state.iteration, []
        for _ in range(self.num_epochs):
            state, metrics = improve(
                loss, self.beta, self._optimiser(), state, self._frozen(), self.start.decoder, rows, count, told_apart
            )
            figures.append(metrics)
        return state._replace(iteration=iteration + 1), jax.tree.map(lambda *x: jnp.mean(jnp.stack(x)), *figures)


def ranked(trajectory: Trajectory, scores: np.ndarray) -> tuple[Answers, Array]:
    """Rows ``[2 B, T]``, the better completion of every prompt first, then the others; and which are told apart."""
    first, second = scores[0::2], scores[1::2]
    chosen = 2 * np.arange(len(first)) + (second > first)
    order = np.concatenate([chosen, chosen ^ 1])
    rows = Answers(trajectory.observation[order], trajectory.action[order], trajectory.mask[order])
    return rows, jnp.asarray(first != second)


def ask(prompt: Prompt, a: str, b: str, number: str, read: Callable[[str], str] = read_key) -> tuple[float, float]:
    """Which of two answers a person likes better: (1, 0), (0, 1) or, for a tie, (0, 0); equal ones are a tie.

    ``number`` tells how many questions there are. ``read`` shows a text and gives the key that is then pressed.
    """
    if a == b:
        return 0.0, 0.0
    question = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    print(printable(f"\n{number}  {question}\n  a: {a}\n  b: {b}"), file=sys.stderr)
    verdicts = {"a": (1.0, 0.0), "b": (0.0, 1.0), "=": (0.0, 0.0)}
    while True:
        key = read("better (a, b, = for a tie; Ctrl-C stops): ").lower()
        if key in verdicts:
            return verdicts[key]
