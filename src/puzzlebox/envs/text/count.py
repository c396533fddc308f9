"""Count: how often something occurs in a string, a word or a list."""

from __future__ import annotations

import dataclasses
import string

from puzzlebox.envs.text import answers
from puzzlebox.envs.text.strings import nth_string, num_strings
from puzzlebox.envs.text.task import choose
from puzzlebox.envs.text.words import NOUNS
from puzzlebox.fields import check_fields, param
from puzzlebox.types import Example

LETTERS = "abc"
OBJECTS = ("apple", "dog", "cup", "stone")
KINDS = ("plain", "letters", "objects")


@dataclasses.dataclass(frozen=True)
class Count:
    """Reward 1 for the right number, else 0.

    ``style=plain``: ``aabab:a=`` → ``3``, strings over a, b, c; the completion must be the number alone.
    ``style=letters``: how often a letter occurs in an English word, one of its letters or e.
    ``style=objects``: how often a thing occurs in a list. The latter two ask in words, and the last number of the text
    (`answers.last_number`) counts.
    """

    style: str = param("plain", "plain for small models; letters of words or listed objects, in words", choices=KINDS)
    length: int = param(6, "longest string, word or list", low=2, high=12)

    levels = ()
    held_out = True

    def __post_init__(self):
        check_fields(self)

    @property
    def chat(self) -> bool:
        return self.style != "plain"

    @property
    def max_tokens(self) -> int:
        return 48 if self.chat else 4

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        if self.style == "letters":
            words = [noun for noun in NOUNS if len(noun) <= self.length]
            return choose(
                26 * len(words), lambda i: _letters(words[i // 26], string.ascii_lowercase[i % 26]), split, count, seed
            )
        kinds = len(LETTERS) if self.style == "plain" else len(OBJECTS)
        problem = self._plain if self.style == "plain" else self._objects
        return choose(kinds * num_strings(kinds, self.length), problem, split, count, seed)

    def reward(self, example: Example, completion: str) -> float:
        return float(self.correct(example, completion))

    def correct(self, example: Example, completion: str) -> bool:
        if self.chat:
            return answers.last_number(completion) == int(example.answer)
        return answers.exact(completion, example.answer)

    def hint(self, example: Example) -> str:
        if self.chat:
            return f"{example.prompt} The answer is {example.answer}; show how to get there."
        return f"{example.answer}\n{example.prompt}"

    def _plain(self, index: int) -> Example:
        index, asked = divmod(index, len(LETTERS))
        text, letter = nth_string(index, LETTERS), LETTERS[asked]
        answer = str(text.count(letter))
        return Example(f"{text}:{letter}=", answer, answer, {"text": text, "asked": letter})

    def _objects(self, index: int) -> Example:
        index, asked = divmod(index, len(OBJECTS))
        items = [OBJECTS[int(digit)] for digit in nth_string(index, "0123")]
        number = items.count(OBJECTS[asked])
        prompt = f"How many times is {OBJECTS[asked]} in this list: {', '.join(items)}? Answer with a number."
        return Example(prompt, str(number), f"The answer is {number}.", {"items": items, "asked": OBJECTS[asked]})


def _letters(word: str, letter: str) -> Example | None:
    number = word.count(letter)
    if not number and letter != "e":
        return None
    prompt = f"How many times does the letter {letter} occur in the word {word}? Answer with a number."
    return Example(prompt, str(number), f"The answer is {number}.", {"text": word, "asked": letter})
