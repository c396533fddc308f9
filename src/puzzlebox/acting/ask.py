"""A person judges in the terminal which of two answers is better."""

from __future__ import annotations

import sys
from collections.abc import Callable

from puzzlebox.acting.keys import read_key
from puzzlebox.data.language_model import Prompt, printable


def ask_person(
    prompt: Prompt, a: str, b: str, number: str, read: Callable[[str], str] = read_key
) -> tuple[float, float]:
    """The scores that a person gives to answers ``a`` and ``b``: (1, 0), (0, 1), or (0, 0) for a tie.

    Equal answers are a tie without a question. ``number`` is shown before the question, such as "3/16". ``read`` shows
    a text and returns the key that is then pressed.
    """
    if a == b:
        return 0.0, 0.0
    question = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    print(printable(f"\n{number}  {question}\n  a: {a}\n  b: {b}"), file=sys.stderr)
    verdicts = {"a": (1.0, 0.0), "b": (0.0, 1.0), "=": (0.0, 0.0)}
    while True:
        key = read("better (a, b, = for a tie; Ctrl-C stops): ").lower()
        if key in verdicts:
            return verdicts[key]
