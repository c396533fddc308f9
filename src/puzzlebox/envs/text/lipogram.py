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

from puzzlebox.envs.text.task import Example, choose
from puzzlebox.envs.text.topics import TOPICS
from puzzlebox.envs.text.words import CONJUNCTIONS, DETERMINERS, FUNCTION, VERB_FORMS, WORDS
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param

TEXT = re.compile(r"[A-Za-z,;:'\" -]+[.!?][\"']?")
WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*")
SHORTEST, LONGEST = 5, 30  # words
KNOWN_SHARE = 0.8
UNENDING = (DETERMINERS | CONJUNCTIONS) - {"that", "this", "his", "each", "no"}
ARTICLES = frozenset(("a", "an", "the"))


@dataclasses.dataclass(frozen=True)
class Lipogram:
    """Write one sentence about a topic without a letter. Reward 1 for a sentence that the verifier accepts.

    A sentence whose only fault is the letter earns ``partial`` × (share of its words without the letter); everything
    else 0. Topics are those whose name can be written without the letter. Demonstrations exist where ours have no
    such letter: for e always.
    """

    letter: str = param("e", "the letter to avoid")
    partial: float = param(0.0, "reward of a real sentence that fails only by the letter", low=0.0, high=0.9)

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
        if found != [_letter_fault(self.letter)]:
            return 0.0
        words = WORD.findall(completion.lower())
        return self.partial * sum(self.letter not in word for word in words) / len(words)

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
    if not TEXT.fullmatch(text):
        return ["must be one sentence of ASCII letters that ends with . ! or ?"]
    spoken = WORD.findall(text)
    words = [word.lower().removesuffix("'s") if word.lower() not in WORDS else word.lower() for word in spoken]
    distinct = set(words)
    found = []
    if letter in text.lower():
        found.append(_letter_fault(letter))
    if text.count('"') % 2:
        found.append("must close its quotation marks")
    if not text.lstrip("\"'")[:1].isupper() or any(word[1:] != word[1:].lower() for word in spoken):
        found.append("must start with a capital and not shout")
    if not SHORTEST <= len(words) <= LONGEST:
        found.append(f"must have {SHORTEST} to {LONGEST} words")
    unknown = distinct - WORDS
    if len(unknown) > (1 - KNOWN_SHARE) * len(distinct) + 1e-9 or not all(map(_pronounceable, unknown)):
        found.append("must be made of common English words")
    if _repeats(words):
        found.append("must not repeat words")
    if not distinct & VERB_FORMS:
        found.append("must have a verb")
    if words and (words[-1] in UNENDING or any({a, b} <= ARTICLES for a, b in pairwise(words))):
        found.append("must not end in the middle")
    if not distinct & topic_words:
        found.append("must be about the topic")
    return found


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
