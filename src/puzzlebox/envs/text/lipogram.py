"""Lipogram: a sentence about a topic without one letter, which must be a sentence and not a trick.

What the verifier rules out: the letter in either case; look-alikes of it (only ASCII letters and , ; : ' " - and one
final . ! or ?); gibberish (at most one distinct word in five may be unknown, and must be pronounceable); words said
over and over; several sentences, or a text too short or too long; no verb; ALL CAPITALS; a sentence ending in "the" or
"and"; two articles in a row; one learned sentence for every prompt (a word of the topic must occur).
What it cannot rule out: a salad of known words ("A dog big runs sky."), nonsense ("My dog is a cloud."), a template
filled with the topic's word, and up to one invented word in five. It rejects good sentences in which many words are
rare, since its list of words, `words`, is short.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from itertools import pairwise

from puzzlebox.envs.text.task import choose
from puzzlebox.envs.text.topics import TOPICS
from puzzlebox.envs.text.words import CONJUNCTIONS, DETERMINERS, FUNCTION, VERB_FORMS, WORDS
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.types import Example

NOT_ASCII = re.compile(r"[^A-Za-z,;:'\" .!?-]")
STOPS = re.compile(r"[.!?]")
ENDING = re.compile(r"[.!?][\"']?$")
WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*")
SHORTEST, LONGEST = 5, 30  # words
KNOWN_SHARE = 0.8
UNENDING = (DETERMINERS | CONJUNCTIONS) - {"that", "this", "his", "each", "no"}
ARTICLES = frozenset(("a", "an", "the"))


@dataclasses.dataclass(frozen=True)
class Lipogram:
    """Write one sentence about a topic without a letter. Reward 1 for a sentence that the verifier accepts.

    Anything else earns ``partial`` × (share of its words without the letter) × ½ for every other fault, so that a model
    can improve step by step; `correct` accepts no faults. Topics are those whose name does not contain the letter.
    There is a demonstration where our sentence does not contain it: for e always.
    """

    letter: str = param("e", "the letter to avoid")
    partial: float = param(0.0, "reward of a sentence whose only fault is the letter, at most", low=0.0, high=0.9)

    levels = ()
    held_out = True
    chat = True
    max_tokens = 48

    def __post_init__(self):
        check_fields(self)
        if len(self.letter) != 1 or not "a" <= self.letter <= "z":
            raise UsageError(f"letter is '{self.letter}'; it must be one small letter from a to z")

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        names = list(TOPICS)
        return choose(len(names), lambda i: self._problem(names[i]), split, count, seed)

    def reward(self, example: Example, completion: str) -> float:
        found = faults(completion, self.letter, example.data["words"])
        if not found:
            return 1.0
        words = WORD.findall(completion.lower())
        share = sum(self.letter not in word for word in words) / max(len(words), 1)
        return self.partial * share * 0.5 ** sum(fault != _letter_fault(self.letter) for fault in found)

    def correct(self, example: Example, completion: str) -> bool:
        return not faults(completion, self.letter, example.data["words"])

    def hint(self, example: Example) -> str:
        """The prompt itself: many sentences are right, so there is no answer to give away."""
        return example.prompt

    def _problem(self, topic: str) -> Example | None:
        words, sentence = TOPICS[topic]
        usable = frozenset(word for word in words.split() if self.letter not in word)
        if self.letter in topic or len(usable) < 3:
            return None
        prompt = f"Write one short sentence about {topic} without using the letter {self.letter}."
        shown = sentence if self.letter not in sentence.lower() else ""
        return Example(prompt, "", shown, {"topic": topic, "words": frozenset(words.split())})


def faults(completion: str, letter: str, topic_words: frozenset[str]) -> list[str]:
    """What is wrong with the sentence, in words; empty if nothing. White space at both ends is ignored."""
    text = completion.strip()
    spoken = WORD.findall(text)
    words = [word.lower() if word.lower() in WORDS else word.lower().removesuffix("'s") for word in spoken]
    distinct = set(words)
    unknown = distinct - WORDS
    rules = {
        _letter_fault(letter): letter not in text.lower(),
        "must have only ASCII letters and , ; : ' \" - . ! ?": not NOT_ASCII.search(text),
        "must be one sentence that ends with . ! or ?": bool(ENDING.search(text)) and len(STOPS.findall(text)) == 1,
        "must close its quotation marks": text.count('"') % 2 == 0,
        "must start with a capital and not shout": text.lstrip("\"'")[:1].isupper()
        and all(word[1:] == word[1:].lower() for word in spoken),
        f"must have {SHORTEST} to {LONGEST} words": SHORTEST <= len(words) <= LONGEST,
        "must be made of common English words": len(unknown) <= (1 - KNOWN_SHARE) * len(distinct) + 1e-9
        and all(map(_pronounceable, unknown)),
        "must not repeat words": not _repeats(words),
        "must have a verb": bool(distinct & VERB_FORMS),
        "must not end in the middle": not words
        or (words[-1] not in UNENDING and not any({a, b} <= ARTICLES for a, b in pairwise(words))),
        "must be about the topic": bool(distinct & topic_words),
    }
    return [rule for rule, kept in rules.items() if not kept]


def _letter_fault(letter: str) -> str:
    return f"must not contain the letter {letter}"


def _repeats(words: list[str]) -> bool:
    """A word twice in a row, a content word more than twice, a function word more than four times."""
    count = Counter(words)
    return any(a == b for a, b in pairwise(words)) or any(
        number > (4 if word in FUNCTION else 2) for word, number in count.items()
    )


def _pronounceable(word: str) -> bool:
    """2 to 14 letters, with a vowel, and neither a letter three times nor five consonants in a row."""
    return 2 <= len(word) <= 14 and not re.search(r"(.)\1\1|[^aeiouy']{5}|^[^aeiouy]+$", word)
