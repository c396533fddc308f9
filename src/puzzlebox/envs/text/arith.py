"""Arithmetic in four levels, each with worked steps that use only what the level before it taught.

- sum: ``7+8=`` → ``15``
- sums: ``27+48=`` → ``7+8=15,1+2+4=7#75``: column by column from the right, the carry first
- precedence: ``3+4*2=`` → ``4*2=8,3+8=11#11``
- brackets: ``(3+4)*(2+1)=`` → ``3+4=7,2+1=3,7*3=21#21``: what a bracket holds is at most 9

With ``mistakes`` a share of the demonstrations at level precedence adds before it multiplies: a model that learns from
them is right some of the time, which is where learning from a verifier can begin. With ``review`` a share of the
training problems is from the level before, as a model would otherwise forget what it knew.

No result is negative. The alphabet is ``0-9 + - * ( ) = , #``; a prompt ends with ``=``.
"""

from __future__ import annotations

import dataclasses
import random

from puzzlebox.envs.text import answers
from puzzlebox.envs.text.task import choose
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.types import Example

LEVELS = ("sum", "sums", "precedence", "brackets")
PRECEDENCE = (("+", "*"), ("-", "*"), ("*", "+"), ("*", "-"))
# The factors of a product at level brackets: a digit, or a bracket that holds 0 to 9; (text, steps, value).
FACTORS = [
    *((str(a), [], a) for a in range(10)),
    *((f"({a}+{b})", [f"{a}+{b}={a + b}"], a + b) for a in range(10) for b in range(10 - a)),
    *((f"({a}-{b})", [f"{a}-{b}={a - b}"], a - b) for a in range(10) for b in range(a + 1)),
]


@dataclasses.dataclass(frozen=True)
class Arith:
    """Calculate an expression. Reward 1 where the answer is right, else 0; the steps are not judged.

    A plain answer is the integer alone at level sum, elsewhere exactly one ``#`` followed by the integer and nothing
    else. A chat answer is the last number of the text (`answers.last_number`).
    """

    level: str = param("sum", "how hard the expressions are", choices=LEVELS)
    digits: int = param(2, "digits a number may have at level sums", low=2, high=12)
    mistakes: float = param(
        0.0, "share of demonstrations at level precedence that add before they multiply", low=0.0, high=1.0
    )
    review: float = param(0.0, "share of the training problems that is from the level before", low=0.0, high=1.0)
    style: str = param("plain", "plain: 3+4*2= for small models; chat: a request in words", choices=("plain", "chat"))

    levels = LEVELS
    held_out = True

    def __post_init__(self):
        check_fields(self)
        reviewed = self.review > 0 and self.level == "brackets"
        if self.mistakes and self.level != "precedence" and not reviewed:
            raise UsageError(f"mistakes is {self.mistakes}, but only level precedence can be taken in the wrong order")
        if self.review and self.level == "sum":
            raise UsageError(f"review is {self.review}, but there is no level before sum")

    @property
    def chat(self) -> bool:
        return self.style == "chat"

    @property
    def max_tokens(self) -> int:
        if self.chat:
            return 64 + (self.level == "sums") * 12 * self.digits
        return {"sum": 4, "sums": 11 * self.digits + 4, "precedence": 20, "brackets": 26}[self.level]

    def examples(self, split: str, count: int, seed: int) -> list[Example]:
        sizes = {"sum": 100, "sums": 100**self.digits, "precedence": 4000, "brackets": len(FACTORS) ** 2}
        if self.review and split == "train":
            return self._mixed(count, seed)
        found = choose(sizes[self.level], self._problem, split, count, seed)
        if not self.mistakes or self.level != "precedence":
            return found
        chance = random.Random(seed)  # a problem that comes several times is not always shown with the mistake
        return [self._mistaken(example) if chance.random() < self.mistakes else example for example in found]

    def reward(self, example: Example, completion: str) -> float:
        return float(self.correct(example, completion))

    def correct(self, example: Example, completion: str) -> bool:
        if self.chat:
            return answers.last_number(completion) == int(example.answer)
        if self.level == "sum":
            return answers.exact(completion, example.answer)
        return answers.after_marker(completion, example.answer)

    def hint(self, example: Example) -> str:
        """The prompt with the answer in it: ``#11`` on a line before a plain one."""
        if self.chat:
            return f"{example.prompt} The answer is {example.answer}; show how to get there."
        return f"#{example.answer}\n{example.prompt}"

    def _mixed(self, count: int, seed: int) -> list[Example]:
        """Training problems of this level and of the one before; mistakes are made at level precedence only."""
        mistakes = self.mistakes * (self.level == "brackets")
        easier = LEVELS[LEVELS.index(self.level) - 1]
        before = dataclasses.replace(self, level=easier, review=0.0, mistakes=mistakes)
        new = dataclasses.replace(self, review=0.0, mistakes=self.mistakes - mistakes)
        old = round(self.review * count)
        found = [e for task, n in ((before, old), (new, count - old)) if n for e in task.examples("train", n, seed)]
        random.Random(seed).shuffle(found)
        return found

    def _mistaken(self, example: Example) -> Example:
        """The same problem, shown with the mistake where it makes sense."""
        made = _adding_first(example.data["expression"])
        return example if made is None else example._replace(completion=self._shown(*made))

    def _shown(self, steps: list[str], value: int) -> str:
        """The demonstration: the steps and the result."""
        if self.chat:
            return f"{', '.join(steps)}. The answer is {value}." if steps else f"The answer is {value}."
        return f"{','.join(steps)}#{value}" if steps else str(value)

    def _problem(self, index: int) -> Example | None:
        """The problem of an index at this level, or None; every level makes (expression, steps, value)."""
        made = {"sum": _sum, "sums": self._sums, "precedence": _precedence, "brackets": _brackets}[self.level](index)
        if made is None:
            return None
        expression, steps, value = made
        prompt = f"Calculate {expression}. Answer with a number." if self.chat else f"{expression}="
        return Example(prompt, str(value), self._shown(steps, value), {"expression": expression, "value": value})

    def _sums(self, index: int):
        a, b = divmod(index, 10**self.digits)
        if a < 10 and b < 10:  # level sum has this prompt, with another completion
            return None
        steps, carry, left, right = [], 0, str(a)[::-1], str(b)[::-1]
        for column in range(max(len(left), len(right))):
            terms = ([carry] if carry else []) + [int(n[column]) for n in (left, right) if column < len(n)]
            total = sum(terms)
            steps.append("+".join(map(str, terms)) + f"={total}")
            carry = total // 10
        return f"{a}+{b}", steps, a + b


def _sum(index: int):
    a, b = divmod(index, 10)
    return f"{a}+{b}", [], a + b


def _adding_first(expression: str) -> tuple[list[str], int] | None:
    """Steps and result of 3+4*2 for somebody who adds first: 3+4=7, 7*2=14. None where a number would be negative."""
    a, first, b, second, c = list(expression)
    signed = {"+": lambda x, y: int(x) + int(y), "-": lambda x, y: int(x) - int(y)}
    if first == "*":
        inner = signed[second](b, c)
        steps, value = [f"{b}{second}{c}={inner}", f"{a}*{inner}={int(a) * inner}"], int(a) * inner
    else:
        inner = signed[first](a, b)
        steps, value = [f"{a}{first}{b}={inner}", f"{inner}*{c}={inner * int(c)}"], inner * int(c)
    return (steps, value) if inner >= 0 else None


def _precedence(index: int):
    index, form = divmod(index, 4)
    a, b, c = index // 100, index // 10 % 10, index % 10
    first, second = PRECEDENCE[form]
    if first == "*":
        product, value = a * b, a * b + c if second == "+" else a * b - c
        steps = [f"{a}*{b}={product}", f"{product}{second}{c}={value}"]
    else:
        product, value = b * c, a + b * c if first == "+" else a - b * c
        steps = [f"{b}*{c}={product}", f"{a}{first}{product}={value}"]
    return (f"{a}{first}{b}{second}{c}", steps, value) if value >= 0 else None


def _brackets(index: int):
    (left, left_steps, a), (right, right_steps, b) = (FACTORS[i] for i in divmod(index, len(FACTORS)))
    steps = [*left_steps, *right_steps, f"{a}*{b}={a * b}"]
    return (f"{left}*{right}", steps, a * b) if len(steps) > 1 else None
