"""A learned reward: a scorer with the tokenizer whose ids it knows judges texts, in the place of a task's verifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting.generate import bucket
from puzzlebox.data.language_model import LanguageModel, Prompt
from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.envs.text.task import Example
from puzzlebox.nets.scorer import Scorer
from puzzlebox.types import Array

ROWS = 64  # texts at once


class Judge(eqx.Module):
    """What a reward model is when it is used: the score of a text is that after its last token."""

    scorer: Scorer
    tokenizer: Tokenizer = eqx.field(static=True)

    def __call__(self, prompts: Sequence[Prompt], completions: Sequence[str], chat: bool = False) -> list[float]:
        """The score of every completion, each to its prompt; ``chat`` as in `LanguageModel.ask`."""
        model = LanguageModel(self.scorer.decoder, self.tokenizer)
        texts = []
        for prompt, completion in zip(prompts, completions, strict=True):
            asked = model.ask(prompt, chat)
            texts.append([*model.encode(asked), *self.tokenizer.encode(completion), model.end_id(asked)])
        scores: list[float] = []
        for first in range(0, len(texts), ROWS):
            part = texts[first : first + ROWS]
            rows = np.full((ROWS, bucket(max(map(len, part)))), self.tokenizer.pad_id, np.int32)
            for row, text in zip(rows, part, strict=False):
                row[: len(text)] = text
            last = np.array([len(text) - 1 for text in part] + [0] * (ROWS - len(part)))
            scores += np.asarray(score_at(self.scorer, jnp.asarray(rows), jnp.asarray(last)))[: len(part)].tolist()
        return scores


@eqx.filter_jit
def score_at(scorer: Scorer, tokens: Array, place: Array) -> Array:
    """The score after token ``place [B]`` of each row of ``tokens [B, T]``; ``[B]``."""
    return jnp.take_along_axis(scorer(tokens), place[:, None], axis=1)[:, 0]


class Judged:
    """A task whose reward is a judge's score; what is correct the task still decides. Equal only to itself."""

    def __init__(self, task: Any, judge: Judge):
        self.task, self.judge = task, judge

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def rewards(self, examples: Sequence[Example], completions: Sequence[str]) -> list[float]:
        return self.judge([example.prompt for example in examples], completions, self.task.chat)

    def reward(self, example: Example, completion: str) -> float:
        return self.rewards([example], [completion])[0]
