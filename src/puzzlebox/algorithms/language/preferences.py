"""Where judged completions come from, as token ids: a file of rows, or a verifier that judges what a model samples.

A file of preferences or rankings says which completion is better. A task with a verifier says it of completions that
the starting model writes: of each problem's completions the best goes with the worst, the second best with the second
worst, and so on, as long as their rewards differ. What was sampled keeps its tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from puzzlebox.acting.generate import Sampling, bucket, completions
from puzzlebox.algorithms.language import common
from puzzlebox.data import datasets
from puzzlebox.data.dataset_rows import Row
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.envs.text.task import Example
from puzzlebox.errors import PuzzleboxError, UsageError

PROMPTS_AT_ONCE = 32


class Pair(NamedTuple):
    """Two completions of one prompt as token ids, each with the token that ends it; ``margin``: how much better."""

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
    """One prompt with its completion a row, padded on the right; leaves ``[B, T]`` as in `Trajectory`."""

    observation: Any
    action: Any
    mask: Any


class Memory:
    """What was found once. All are equal, because no compiled program depends on it."""

    def __init__(self) -> None:
        self._found: dict[Any, Any] = {}

    def get(self, name: Any, find: Callable[[], Any]) -> Any:
        if name not in self._found:
            self._found[name] = find()
        return self._found[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memory)

    def __hash__(self) -> int:
        return 0


class Sampled(NamedTuple):
    """Completions of one problem, best first, with their rewards and verdicts."""

    prompt: list[int]
    completions: list[list[int]]
    rewards: list[float]
    correct: list[bool]


def check_source(env: Any, kinds: Sequence[str]) -> None:
    """Raises UsageError unless the task is a file of one of ``kinds`` or can judge completions."""
    if getattr(env, "kind", None) in kinds:
        return
    try:
        example = env.examples("train", 1, 0)[0]
        env.correct(example, "")
    except UsageError as error:
        raise UsageError(f"{error}; or give a file of {' or '.join(kinds)} data" if kinds else str(error)) from None


def find_pairs(
    env: Any,
    model: LanguageModel,
    split: str,
    num_prompts: int,
    num_samples: int,
    temperature: float,
    seed: int = 0,
    demonstrations: bool = False,
) -> list[Pair]:
    """All pairs of a file's split, or those of ``num_prompts`` problems with ``num_samples`` completions by ``model``.

    With ``demonstrations`` the task's own completion is one more candidate. Raises PuzzleboxError when no two
    completions of any problem differ in reward.
    """
    if getattr(env, "kind", None) in ("preference", "ranking"):
        rows = env.rows(split)
        found = [pair for row in rows for pair in (datasets.pairs(row) if row.completions else [row])]
        return [_pair(model, row) for row in found]
    pairs = []
    for sampled in sample(env, model, split, num_prompts, num_samples, temperature, seed, demonstrations):
        ranked = list(zip(sampled.completions, sampled.rewards, strict=True))
        for (better, high), (worse, low) in zip(ranked[: len(ranked) // 2], ranked[::-1], strict=False):
            if high > low:
                pairs.append(Pair(sampled.prompt, better, worse, high - low))
    if not pairs:
        raise PuzzleboxError(
            f"in {num_prompts} problems no two of the starting model's {num_samples} completions differ in reward; "
            "start from a model that is sometimes right and sometimes wrong, or raise num_samples"
        )
    return pairs


def find_labels(
    env: Any, model: LanguageModel, split: str, num_prompts: int, num_samples: int, temperature: float, seed: int = 0
) -> list[Label]:
    """Completions said to be wanted or not: a file's rows (a pair gives two), or the verifier's word on samples."""
    kind = getattr(env, "kind", None)
    if kind == "label":
        rows = [(common.written(model, row.prompt, row.completion), bool(row.label)) for row in env.rows(split)]
        return [Label(prompt, completion, wanted) for (prompt, completion), wanted in rows]
    if kind in ("preference", "ranking"):
        pairs = find_pairs(env, model, split, num_prompts, num_samples, temperature)
        return [Label(p.prompt, ids, ids is p.chosen) for p in pairs for ids in (p.chosen, p.rejected)]
    everything = sample(env, model, split, num_prompts, num_samples, temperature, seed)
    return [Label(s.prompt, *answer) for s in everything for answer in zip(s.completions, s.correct, strict=True)]


def sample(
    env: Any,
    model: LanguageModel,
    split: str,
    num_prompts: int,
    num_samples: int,
    temperature: float,
    seed: int = 0,
    demonstrations: bool = False,
) -> list[Sampled]:
    """Problems of the split with the model's completions, judged; the same for the same ``seed``."""
    examples = env.examples(split, num_prompts, seed)
    found = []
    for start in range(0, len(examples), PROMPTS_AT_ONCE):
        part = examples[start : start + PROMPTS_AT_ONCE]
        trajectory, texts = common.experience(
            model,
            [model.ask(example.prompt, env.chat) for example in part],
            jax.random.fold_in(jax.random.key(seed), start),
            max_tokens=env.max_tokens,
            sampling=Sampling(temperature),
            group=num_samples,
        )
        ids, rewards = completions(trajectory), common.rewards(env, part, texts, num_samples)
        for i, example in enumerate(part):
            own = slice(i * num_samples, (i + 1) * num_samples)
            found.append(_judged(env, model, example, ids[own], texts[own], rewards[own], demonstrations))
    return found


def rows_of(prompts: Sequence[list[int]], answers: Sequence[list[int]], model: LanguageModel) -> Answers:
    """Token ids as rows of one length, rounded up; raises UsageError for one that the model's context cannot hold."""
    texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    longest, context = max(map(len, texts)), model.decoder.config.context
    if longest - 1 > context:
        raise UsageError(f"a prompt with its completion has {longest} tokens, the model's context {context}")
    shape = len(texts), bucket(longest - 1)
    tokens = np.full((shape[0], shape[1] + 1), model.tokenizer.pad_id, np.int32)
    mask = np.zeros(shape, bool)
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        tokens[row, : len(text)] = text
        mask[row, len(prompt) - 1 : len(text) - 1] = True
    return Answers(tokens[:, :-1], tokens[:, 1:], mask)


def pair_rows(pairs: Sequence[Pair], model: LanguageModel) -> Answers:
    """``[2 B, T]``: all chosen completions, then all rejected ones."""
    prompts = [pair.prompt for pair in pairs]
    return rows_of(prompts * 2, [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs], model)


def most_masked(rows: Answers) -> int:
    """The `score` function's ``count``: the longest completion, rounded up."""
    return bucket(int(np.asarray(rows.mask).sum(axis=1).max()))


def _pair(model: LanguageModel, row: Row) -> Pair:
    prompt, chosen = common.written(model, row.prompt, row.chosen)
    other, rejected = common.written(model, row.prompt, row.rejected)
    if prompt != other:
        raise UsageError(f"{row.source}: the answers follow different messages; they must differ in the last one alone")
    return Pair(prompt, chosen, rejected, row.margin or 0.0)


def _judged(
    env: Any,
    model: LanguageModel,
    example: Example,
    ids: list[list[int]],
    texts: list[str],
    rewards: Sequence[float],
    demonstrations: bool,
) -> Sampled:
    prompt = model.ask(example.prompt, env.chat)
    ids, texts, rewards = list(ids), list(texts), list(rewards)
    if demonstrations and example.completion:
        ids.append(common.written(model, prompt, example.completion)[1])
        texts.append(example.completion)
        rewards += common.rewards(env, [example], [example.completion])
    order = sorted(range(len(ids)), key=lambda i: -rewards[i])
    return Sampled(
        model.encode(prompt),
        [ids[i] for i in order],
        [rewards[i] for i in order],
        [env.correct(example, texts[i]) for i in order],
    )
