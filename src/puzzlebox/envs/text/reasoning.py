"""Any dataset of reasoning-gym as a task: its problems, its own scorer (https://github.com/open-thought/reasoning-gym).

Departures: one item in five is held out by a hash of its question; repeated items count once; where a scorer fails on
what a model wrote, the reward is 0.
"""

from __future__ import annotations

import dataclasses
import re
from functools import lru_cache
from typing import Any

from puzzlebox.envs.text.task import check_request, fill, is_test
from puzzlebox.errors import UsageError, missing_extra, unknown
from puzzlebox.fields import parse
from puzzlebox.types import Example

ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
REQUEST = "Write the final answer, and nothing else, between <answer> and </answer>."
PATIENCE = 20  # items looked at per problem asked for


@dataclasses.dataclass(frozen=True)
class Reasoning:
    """The answer is the text between the last pair of answer tags, or the whole completion if there is none.

    Reward: the dataset's score in [0, 1], partial where the dataset gives partial scores. Correct: a score of 1.
    ``options`` are those of the dataset's configuration.
    """

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    levels = ()
    held_out = True
    chat = True
    max_tokens = 256

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        check_request(split, count)
        # Go through the items until there are enough of this split; many are in the other one, or repeated.
        size = PATIENCE * count + 100
        found: dict[str, Example] = {}
        for index in range(len(_dataset(self.name, self.options, size, seed))):
            item = _item(self.name, self.options, size, seed, index)
            prompt = f"{item['question']}\n{REQUEST}"
            if is_test(prompt) == (split == "test") and prompt not in found:
                answer = "" if item["answer"] is None else str(item["answer"])
                found[prompt] = Example(prompt, answer, f"<answer>{answer}</answer>" if answer else "", {"item": item})
                if len(found) == count:
                    break
        return fill(list(found.values()), split, count)

    def reward(self, example: Example, completion: str) -> float:
        tagged = ANSWER.findall(completion)
        answer = (tagged[-1] if tagged else completion).strip()
        if not answer:
            return 0.0
        try:
            score = _dataset(self.name, self.options, 1, 0).score_answer(answer, example.data["item"])
        except Exception:  # scorers parse the answer; a text that makes them fail is no answer
            return 0.0
        return min(max(float(score), 0.0), 1.0)

    def correct(self, example: Example, completion: str) -> bool:
        return self.reward(example, completion) >= 1.0

    def hint(self, example: Example) -> str:
        return f"{example.prompt}\nThe answer is {example.answer}; show how to get there."


def make_reasoning(name: str, options: dict[str, str]) -> Reasoning:
    """The task over the dataset called ``name``; raises UsageError for an unknown name or option."""
    datasets = _datasets()
    if name not in datasets:
        raise unknown("reasoning-gym dataset", name, datasets)
    fields = {f.name: f for f in dataclasses.fields(datasets[name][1]) if f.name not in ("seed", "size")}
    values = []
    for key, text in options.items():
        if key not in fields:
            raise unknown(f"option of reasoning:{name}", key, fields)
        if not isinstance(fields[key].default, (bool, int, float, str)):
            raise UsageError(f"option {key} of reasoning:{name} is '{text}'; only numbers and words can be set by name")
        values.append((key, parse(key, fields[key].default, text)))
    task = Reasoning(name, tuple(values))
    try:
        _dataset(name, task.options, 1, 0)
    except (AssertionError, ValueError) as error:
        raise UsageError(f"reasoning:{name} refuses its options: {error}") from None
    return task


def _datasets() -> dict[str, Any]:
    try:
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise missing_extra("reasoning-gym", "reasoning") from None
    return DATASETS


@lru_cache(maxsize=8)
def _dataset(name: str, options: tuple[tuple[str, Any], ...], size: int, seed: int) -> Any:
    _datasets()
    import reasoning_gym

    return reasoning_gym.create_dataset(name, size=size, seed=seed, **dict(options))


@lru_cache(maxsize=4096)
def _item(name: str, options: tuple[tuple[str, Any], ...], size: int, seed: int, index: int) -> dict[str, Any]:
    return _dataset(name, options, size, seed)[index]
