"""Where judged completions come from: a file of rows, or a verifier that judges what a model samples.

A file of preferences or rankings says which completion is better. With a verifier the starting model writes the
completions: of each problem's completions the best is paired with the worst, the second best with the second worst, and
so on, as long as their rewards differ. Sampled completions keep the token ids that were sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from puzzlebox.acting.completions import complete, rewards_of
from puzzlebox.acting.generate import Sampling
from puzzlebox.data import datasets
from puzzlebox.data.dataset_rows import Row
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.preferences import Label, Pair
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.types import Example, Task, TaskOfRows

PROMPTS_AT_ONCE = 32  # a batch of generation; another number would draw other samples


class Memory:
    """A cache for what is expensive to find: `get` calls ``find`` only the first time a name is asked for.

    It is a static field of algorithms. All caches are equal, so that a filled one does not compile the program again.
    """

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
    """Completions of one problem as token ids, the best first, with their rewards and whether they are correct."""

    prompt: list[int]
    completions: list[list[int]]
    rewards: list[float]
    correct: list[bool]


def check_source(task: Task, kinds: Sequence[str]) -> None:
    """Raises UsageError unless the task is a file of one of ``kinds`` or can judge completions."""
    if isinstance(task, TaskOfRows) and task.kind in kinds:
        return
    try:
        example = task.examples("train", 1, 0)[0]
        task.correct(example, "")
    except UsageError as error:
        raise UsageError(f"{error}; or give a file of {' or '.join(kinds)} data" if kinds else str(error)) from None


def find_pairs(
    task: Task,
    model: LanguageModel,
    split: str,
    num_prompts: int,
    num_samples: int,
    temperature: float,
    seed: int = 0,
    demonstrations: bool = False,
) -> list[Pair]:
    """All pairs of a file's split, or pairs of ``num_prompts`` problems with ``num_samples`` completions each.

    With ``demonstrations`` the task's own completion is one more candidate. The same ``seed`` gives the same pairs.
    Raises PuzzleboxError when no two completions of any problem differ in reward.
    """
    if isinstance(task, TaskOfRows) and task.kind in ("preference", "ranking"):
        rows = task.rows(split)
        found = [pair for row in rows for pair in (datasets.ranking_pairs(row) if row.completions else [row])]
        return [_pair(model, row) for row in found]
    pairs = []
    for sampled in sample_completions(task, model, split, num_prompts, num_samples, temperature, seed, demonstrations):
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
    task: Task, model: LanguageModel, split: str, num_prompts: int, num_samples: int, temperature: float, seed: int = 0
) -> list[Label]:
    """Completions labelled as wanted or not: a file's rows (a pair gives two), or samples that the verifier judges."""
    if isinstance(task, TaskOfRows) and task.kind == "label":
        rows = [(model.encode_answered(row.prompt, row.completion), bool(row.label)) for row in task.rows(split)]
        return [Label(prompt, completion, wanted) for (prompt, completion), wanted in rows]
    if isinstance(task, TaskOfRows) and task.kind in ("preference", "ranking"):
        pairs = find_pairs(task, model, split, num_prompts, num_samples, temperature)
        return [Label(p.prompt, ids, ids is p.chosen) for p in pairs for ids in (p.chosen, p.rejected)]
    everything = sample_completions(task, model, split, num_prompts, num_samples, temperature, seed)
    return [Label(s.prompt, *answer) for s in everything for answer in zip(s.completions, s.correct, strict=True)]


def sample_completions(
    task: Task,
    model: LanguageModel,
    split: str,
    num_prompts: int,
    num_samples: int,
    temperature: float,
    seed: int = 0,
    demonstrations: bool = False,
) -> list[Sampled]:
    """``num_prompts`` problems of the split with ``num_samples`` completions by the model each, judged by the task.

    The same ``seed`` gives the same samples.
    """
    examples = task.examples(split, num_prompts, seed)
    found = []
    for start in range(0, len(examples), PROMPTS_AT_ONCE):
        part = examples[start : start + PROMPTS_AT_ONCE]
        written = complete(
            model,
            [model.format_prompt(example.prompt, task.chat) for example in part],
            jax.random.fold_in(jax.random.key(seed), start),
            max_tokens=task.max_tokens,
            sampling=Sampling(temperature),
            group=num_samples,
        )
        rewards = rewards_of(task, part, written.texts, num_samples)
        for i, example in enumerate(part):
            own = slice(i * num_samples, (i + 1) * num_samples)
            judged = _ranked(task, model, example, written.ids[own], written.texts[own], rewards[own], demonstrations)
            found.append(judged)
    return found


def _pair(model: LanguageModel, row: Row) -> Pair:
    """A row of preferences as token ids; raises UsageError where the two conversations differ before their end."""
    prompt, chosen = model.encode_answered(row.prompt, row.chosen)
    other, rejected = model.encode_answered(row.prompt, row.rejected)
    if prompt != other:
        raise UsageError(f"{row.source}: the answers follow different messages; they must differ in the last one alone")
    return Pair(prompt, chosen, rejected, row.margin or 0.0)


def _ranked(
    task: Task,
    model: LanguageModel,
    example: Example,
    ids: list[list[int]],
    texts: list[str],
    rewards: Sequence[float],
    demonstrations: bool,
) -> Sampled:
    """One problem's completions in the order of their rewards, with its demonstration if there is to be one."""
    prompt = model.format_prompt(example.prompt, task.chat)
    ids, texts, rewards = list(ids), list(texts), list(rewards)
    if demonstrations and example.completion:
        ids.append(model.encode_answered(prompt, example.completion)[1])
        texts.append(example.completion)
        rewards += rewards_of(task, [example], [example.completion])
    order = sorted(range(len(ids)), key=lambda i: -rewards[i])
    return Sampled(
        model.encode(prompt),
        [ids[i] for i in order],
        [rewards[i] for i in order],
        [task.correct(example, texts[i]) for i in order],
    )
