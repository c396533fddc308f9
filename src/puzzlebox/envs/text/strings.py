"""Copy or reverse a string: ``copy abc:`` → ``abc``, ``reverse abc:`` → ``cba``."""

from __future__ import annotations

import dataclasses
import string

from puzzlebox.envs.text import answers
from puzzlebox.envs.text.task import choose
from puzzlebox.fields import check_fields, param
from puzzlebox.types import Example


@dataclasses.dataclass(frozen=True)
class Strings:
    """Reward 1 for the exact string, else 0; white space around it is ignored.

    Every string of 1 to ``length`` letters is equally likely, so most have the full length.
    """

    reverse: bool
    length: int = param(5, "letters in the longest string", low=1, high=64)
    letters: int = param(10, "how many letters of the alphabet are used", low=2, high=26)

    levels = ()
    held_out = True
    chat = False

    def __post_init__(self):
        check_fields(self)

    @property
    def max_tokens(self) -> int:
        return self.length + 2

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        return choose(num_strings(self.letters, self.length), self._problem, split, count, seed)

    def reward(self, example: Example, completion: str) -> float:
        return float(self.correct(example, completion))

    def correct(self, example: Example, completion: str) -> bool:
        return answers.exact(completion, example.answer)

    def hint(self, example: Example) -> str:
        return f"{example.answer}\n{example.prompt}"

    def _problem(self, index: int) -> Example:
        text = nth_string(index, string.ascii_lowercase[: self.letters])
        answer = text[::-1] if self.reverse else text
        return Example(f"{'reverse' if self.reverse else 'copy'} {text}:", answer, answer, {"text": text})


def copy() -> Strings:
    """The task ``copy``."""
    return Strings(reverse=False)


def reverse() -> Strings:
    """The task ``reverse``."""
    return Strings(reverse=True)


def num_strings(letters: int, length: int) -> int:
    """How many strings of 1 to ``length`` letters there are."""
    return sum(letters**n for n in range(1, length + 1))


def nth_string(index: int, alphabet: str) -> str:
    """The string of an index when all strings are listed, short ones first: a, b, aa, ab, ba, bb, aaa, …"""
    text = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, len(alphabet))
        text = alphabet[digit] + text
    return text
