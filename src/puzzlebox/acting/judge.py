"""A learned reward: a reward model judges texts instead of a task's verifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from puzzlebox.data.language_model import LanguageModel, Prompt
from puzzlebox.data.packing import bucket, pad_rows
from puzzlebox.data.preferences import Answers
from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.nets.scorer import Scorer
from puzzlebox.types import Array, Example, Task, TaskOfRows

ROWS = 64  # texts scored at once; the last batch is padded to it, so that it runs the same program


class Judge(eqx.Module):
    """A trained reward model, with the tokenizer whose ids it knows: a text's score is the one after its last token."""

    scorer: Scorer
    tokenizer: Tokenizer = eqx.field(static=True)

    def __call__(self, prompts: Sequence[Prompt], completions: Sequence[str], chat: bool = False) -> list[float]:
        """The score of every completion behind its prompt, ``[N]``; ``chat`` as in `LanguageModel.format_prompt`."""
        model = LanguageModel(self.scorer.decoder, self.tokenizer)
        texts = []
        for prompt, completion in zip(prompts, completions, strict=True):
            prompt = model.format_prompt(prompt, chat)
            texts.append([*model.encode(prompt), *self.tokenizer.encode(completion), model.end_id(prompt)])
        scores: list[float] = []
        for first in range(0, len(texts), ROWS):
            part = texts[first : first + ROWS]
            rows = pad_rows(part, self.tokenizer.pad_id, bucket(max(map(len, part))), ROWS)
            last = np.array([len(text) - 1 for text in part] + [0] * (ROWS - len(part)))
            scores += np.asarray(score_at(self.scorer, jnp.asarray(rows), jnp.asarray(last)))[: len(part)].tolist()
        return scores


@eqx.filter_jit
def score_at(scorer: Scorer, tokens: Array, place: Array) -> Array:
    """The score after token ``place [B]`` of each row of ``tokens [B, T]``; ``[B]``."""
    return jnp.take_along_axis(scorer(tokens), place[:, None], axis=1)[:, 0]


def with_judge(task: Task, judge: Judge) -> Judged:
    """The task with ``judge`` in the place of its reward; a file of rows stays one (`TaskOfRows`)."""
    return JudgedRows(task, judge) if isinstance(task, TaskOfRows) else Judged(task, judge)


def final_scores(scorer: Scorer, rows: Answers) -> Array:
    """The score after the last token of every row, ``[B]``."""
    tokens = jnp.concatenate([rows.observation[:, :1], rows.action], axis=1)
    last = jnp.max(jnp.where(rows.mask, jnp.arange(1, tokens.shape[1]), 0), axis=1)
    return score_at(scorer, tokens, last)


class Judged:
    """A task whose reward is a judge's score; what is correct, the task still decides. Equal only to itself."""

    def __init__(self, task: Task, judge: Judge):
        self.task, self.judge = task, judge

    @property
    def max_tokens(self) -> int:
        return self.task.max_tokens

    @property
    def chat(self) -> bool:
        return self.task.chat

    @property
    def levels(self) -> tuple[str, ...]:
        return self.task.levels

    @property
    def held_out(self) -> bool:
        return self.task.held_out

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        return self.task.examples(split, count, seed)

    def rewards(self, examples: Sequence[Example], completions: Sequence[str]) -> list[float]:
        return self.judge([example.prompt for example in examples], completions, self.task.chat)

    def reward(self, example: Example, completion: str) -> float:
        return self.rewards([example], [completion])[0]

    def correct(self, example: Example, completion: str) -> bool:
        return self.task.correct(example, completion)

    def hint(self, example: Example) -> str:
        return self.task.hint(example)


class JudgedRows(Judged):
    """A judged file, whose rows can still be learned from."""

    task: TaskOfRows

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def kind(self) -> str:
        return self.task.kind

    @property
    def dataset(self) -> Any:
        return self.task.dataset

    @property
    def skipped(self) -> tuple[str, ...]:
        return self.task.skipped

    def rows(self, split: str) -> Sequence[Any]:
        return self.task.rows(split)

    def check_verdicts(self) -> None:
        self.task.check_verdicts()
