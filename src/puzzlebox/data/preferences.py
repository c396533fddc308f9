"""Judged completions as token ids, and as arrays of rows that a network reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.packing import bucket, pad_rows
from puzzlebox.errors import UsageError
from puzzlebox.types import ArrayLike


class Pair(NamedTuple):
    """Two completions of one prompt as token ids, each with its stop token; ``margin``: how much better the chosen is.

    The margin is in units of reward, 0 where unknown.
    """

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    margin: float = 0.0


class Label(NamedTuple):
    """One completion as token ids, and whether it is ``wanted``."""

    prompt: list[int]
    completion: list[int]
    wanted: bool


class Answers(NamedTuple):
    """Prompts with their completions, one pair a row, padded on the right; leaves ``[B, T]`` as in `Trajectory`."""

    observation: ArrayLike
    action: ArrayLike
    mask: ArrayLike


def answer_rows(prompts: Sequence[list[int]], answers: Sequence[list[int]], model: LanguageModel) -> Answers:
    """Prompts with their answers as rows of one length, that of the longest rounded up.

    Raises UsageError for a prompt and answer that the model's context cannot hold.
    """
    texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    longest, context = max(map(len, texts)), model.decoder.config.context
    if longest - 1 > context:
        raise UsageError(f"a prompt with its completion has {longest} tokens, the model's context {context}")
    tokens = pad_rows(texts, model.tokenizer.pad_id, bucket(longest - 1) + 1)
    return Answers(tokens[:, :-1], tokens[:, 1:], answer_mask(prompts, answers, tokens.shape[1] - 1))


def answer_mask(prompts: Sequence[list[int]], answers: Sequence[list[int]], length: int) -> np.ndarray:
    """Where a row of ``length`` actions chooses its answer's tokens, bool ``[B, length]``.

    The first of them is chosen at the prompt's last token, hence the − 1.
    """
    begins = np.array([len(prompt) for prompt in prompts])[:, None] - 1
    ends = begins + np.array([len(answer) for answer in answers])[:, None]
    place = np.arange(length)
    return (begins <= place) & (place < ends)


def pair_rows(pairs: Sequence[Pair], model: LanguageModel) -> Answers:
    """``[2 B, T]``: all chosen completions, then all rejected ones."""
    prompts = [pair.prompt for pair in pairs]
    return answer_rows(prompts * 2, [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs], model)


def longest_answer(rows: Answers) -> int:
    """The `score` function's ``count``: tokens of the longest completion, rounded up."""
    return bucket(int(np.asarray(rows.mask).sum(axis=1).max()))
