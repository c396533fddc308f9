"""How a final answer is read out of a completion."""

from __future__ import annotations

import re
from fractions import Fraction

# No letter, digit or point may touch the number, so that neither x11, 11th, 1e1 nor 1.2.3 is one. A minus sign counts
# unless it follows a number, a word or a bracket, where it is a subtraction. Commas count only between groups of three.
NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,])((?<![0-9)\]] )(?<![A-Za-z0-9_)\]])[-−–])?"
    r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(\.[0-9]+)?(?![A-Za-z0-9_]|[.,][0-9])"
)


def last_number(text: str) -> Fraction | None:
    """The last number in the text, exactly; None where there is none.

    Digits are 0-9; a sign, groups of three (1,234) and decimals (11.0) count; a number inside a word or a list
    without spaces (3,4) does not. All earlier numbers are ignored, so naming many answers gains nothing.
    """
    found = list(NUMBER.finditer(text))
    if not found:
        return None
    sign, whole, decimals = found[-1].groups()
    return Fraction(("-" if sign else "") + whole.replace(",", "") + (decimals or ""))


def exact(text: str, answer: str) -> bool:
    """Whether the text is the answer, character by character; white space at both ends is ignored."""
    return text.strip(" \t\r\n") == answer


def after_marker(text: str, answer: str) -> bool:
    """Whether ``#`` occurs exactly once and is followed by the answer and nothing else but white space."""
    _, marker, final = text.partition("#")
    return bool(marker) and "#" not in final and exact(final, answer)
