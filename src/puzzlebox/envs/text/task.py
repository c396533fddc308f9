"""What a text task is: problems in, a completion out, a verifier that scores it. No tokens here, only text.

A problem is held out for testing by a hash of its prompt, so that it is in the same split in every run, at every
seed, and at every level of the task.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator

from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.types import Example, Task

TEST_SHARE = 5  # one problem in five is held out


def is_test(prompt: str) -> bool:
    """Whether the problem with this prompt is held out: one in five, by a hash that never changes."""
    digest = hashlib.blake2b(prompt.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % TEST_SHARE == 0


def choose(
    num_problems: int, problem: Callable[[int], Example | None], split: str, count: int, seed: int
) -> list[Example]:
    """``count`` problems of the split in the random order of ``seed``, none twice while there are others.

    ``problem(index)`` makes the problem of an index below ``num_problems``, each with its own prompt, or None where
    there is none. When fewer exist than asked for, training problems repeat and test problems do not.
    Raises UsageError for an unknown split, a count below 1, or a split without problems.
    """
    check_request(split, count)
    found: list[Example] = []
    for index in _shuffled(num_problems, random.Random(seed)):
        example = problem(index)
        if example is not None and is_test(example.prompt) == (split == "test"):
            found.append(example)
            if len(found) == count:
                break
    return fill(found, split, count)


def check_request(split: str, count: int) -> None:
    """Raises UsageError for an unknown split or a count below 1."""
    if split not in ("train", "test"):
        raise UsageError(f"split is '{split}'; choose one of: train, test")
    if count < 1:
        raise UsageError(f"count is {count}; it must be at least 1")


def fill(found: list[Example], split: str, count: int) -> list[Example]:
    """Training problems repeated in order up to ``count``; test problems as they are."""
    if not found:
        raise UsageError(f"the task has no {split} problems with these options; allow longer or more of them")
    return found if split == "test" else [found[i % len(found)] for i in range(count)]


def _shuffled(size: int, rng: random.Random) -> Iterator[int]:
    """0 … size − 1 in random order: Fisher and Yates' shuffle that stores only the cells it has touched."""
    moved: dict[int, int] = {}
    last = size - 1
    while last >= 0:
        pick = rng.randrange(last + 1)
        yield moved.get(pick, pick)
        tail = moved.pop(last, last)
        if pick != last:
            moved[pick] = tail
        last -= 1


def few_shot(task: Task, example: Example, shots: int, seed: int) -> str:
    """The prompt with ``shots`` worked training examples in front; the example itself is never among them.

    Raises UsageError where the task has too few demonstrations.
    """
    if shots == 0:
        return example.prompt
    after_prompt, after_completion = ("\n", "\n\n") if task.chat else ("", "\n")
    shown: dict[str, Example] = {}
    for other in task.examples("train", 4 * shots + 4, seed):
        if other.prompt != example.prompt and other.completion:
            shown.setdefault(other.prompt, other)
    if len(shown) < shots:
        raise UsageError(f"shots is {shots}, but the task shows only {len(shown)} worked examples; ask for fewer")
    front = [s.prompt + after_prompt + s.completion + after_completion for s in list(shown.values())[:shots]]
    return "".join(front) + example.prompt


def check_task(task: Task, count: int = 64, seed: int = 0) -> None:
    """Checks the laws of every task on ``count`` problems; raises PuzzleboxError that names the one that is broken.

    Problems are determined by the seed; no test problem is a training problem; the verifier accepts every
    demonstration, gives nothing more reward, and rejects the empty completion; a hint contains the answer; a
    few-shot prompt ends with the prompt; a plain demonstration leaves room for the stop token.
    """
    # The problems.
    train, test = task.examples("train", count, seed), task.examples("test", count, seed)
    _law(len(train) == count, f"{len(train)} training problems instead of {count}")
    _law(1 <= len(test) <= count, f"{len(test)} test problems instead of 1 to {count}")
    _law(train == task.examples("train", count, seed), "the same seed gives other problems")
    shared = {e.prompt for e in train} & {e.prompt for e in test}
    _law(not (task.held_out and shared), f"'{next(iter(shared), '')}' is in both splits")
    _law(len({e.prompt for e in test}) == len(test), "a test problem is there twice")
    # The verifier, the hint and the demonstration of each.
    for example in train + test:
        _law(bool(example.prompt), "a prompt is empty")
        _law(not task.correct(example, ""), f"the empty completion of '{example.prompt}' is accepted")
        _law(math.isfinite(task.reward(example, "")), f"the reward of nothing at '{example.prompt}' is not finite")
        _law(example.answer in task.hint(example), f"the hint of '{example.prompt}' hides the answer")
        _law(few_shot(task, example, 0, seed) == example.prompt, "a prompt with no shots is not the prompt")
        if example.completion:
            best = task.reward(example, example.completion)
            _law(task.correct(example, example.completion), f"'{example.completion}' is rejected")
            _law(best > task.reward(example, ""), f"'{example.completion}' earns no more than nothing")
            _law(task.chat or len(example.completion) < task.max_tokens, f"'{example.completion}' is too long")


def _law(holds: bool, message: str) -> None:
    if not holds:
        raise PuzzleboxError(f"check_task: {message}")
