"""A language small enough to list: every completion is known, so the best policy can be calculated exactly."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

from puzzlebox.envs.text.task import check_request, fill
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.types import Example


@dataclasses.dataclass(frozen=True)
class Tiny:
    """There is one prompt, ``=``; a completion is any string of at most ``length`` letters of ``alphabet``.

    reward(y) = (number of the alphabet's first letter in y − penalty × number of other letters in y) / length,
    or, if ``table`` is given, ``table[y]`` (0 if y is not in it). A string outside the language earns −1. A string of
    the highest reward is correct. Both splits consist of the one prompt: nothing is held out.
    """

    alphabet: str = param("abc", "the letters, 2 to 4 of them")
    length: int = param(3, "letters in the longest completion", low=1, high=6)
    penalty: float = param(0.5, "taken off for every letter that is not the first of the alphabet", low=0.0)
    table: Mapping[str, float] | None = dataclasses.field(default=None, hash=False)

    levels = ()
    held_out = False
    chat = False

    def __post_init__(self):
        check_fields(self)
        if not 2 <= len(set(self.alphabet)) == len(self.alphabet) <= 4 or "=" in self.alphabet:
            raise UsageError(f"alphabet is '{self.alphabet}'; it must be 2 to 4 different letters, none of them =")
        strange = sorted(set(self.table or ()) - set(self.completions()))
        if strange:
            raise UsageError(f"table names '{strange[0]}', which is no string of the language")

    @property
    def max_tokens(self) -> int:
        return self.length + 1

    def completions(self) -> list[str]:
        """Every string of the language, the empty one first, short before long."""
        return ["".join(y) for n in range(self.length + 1) for y in itertools.product(self.alphabet, repeat=n)]

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        check_request(split, count)
        best = max(self.completions(), key=self.score)
        return fill([Example("=", best, best)], split, count)

    def score(self, completion: str) -> float:
        """The reward of one string, by the equation above."""
        if len(completion) > self.length or not set(completion) <= set(self.alphabet):
            return -1.0
        if self.table is not None:
            return float(self.table.get(completion, 0.0))
        good = completion.count(self.alphabet[0])
        return (good - self.penalty * (len(completion) - good)) / self.length

    def reward(self, example: Example, completion: str) -> float:
        return self.score(completion)

    def correct(self, example: Example, completion: str) -> bool:
        return self.score(completion) == self.score(example.answer)

    def hint(self, example: Example) -> str:
        return f"{example.answer}\n{example.prompt}"
