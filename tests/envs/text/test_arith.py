"""Arithmetic, counting and copying: values by an independent calculation, verifiers against tricks."""

import ast
import re
from fractions import Fraction
from functools import lru_cache

import pytest

from puzzlebox.envs.text import make_task
from puzzlebox.envs.text.answers import after_marker, last_number
from puzzlebox.envs.text.arith import Arith
from puzzlebox.errors import UsageError
from puzzlebox.types import Example


def solve(prompt: str) -> Example:
    level = "brackets" if "(" in prompt else "precedence" if "*" in prompt else "sums" if len(prompt) > 4 else "sum"
    return problems(f"arith,level={level}")[prompt]


@lru_cache
def problems(name: str) -> dict[str, Example]:
    """Every problem of the task, by prompt."""
    return {e.prompt: e for split in ("train", "test") for e in make_task(name).examples(split, 12_000, 0)}


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("7+8=", "15"),
        ("27+48=", "7+8=15,1+2+4=7#75"),
        ("95+48=", "5+8=13,1+9+4=14#143"),
        ("5+42=", "5+2=7,4=4#47"),
        ("8+99=", "8+9=17,1+9=10#107"),
        ("3+4*2=", "4*2=8,3+8=11#11"),
        ("3*4+2=", "3*4=12,12+2=14#14"),
        ("9-4*2=", "4*2=8,9-8=1#1"),
        ("(3+4)*(2+1)=", "3+4=7,2+1=3,7*3=21#21"),
        ("3*(2+1)=", "2+1=3,3*3=9#9"),
        ("(9-2)*4=", "9-2=7,7*4=28#28"),
    ],
)
def test_worked_solutions_by_hand(prompt, completion):
    assert solve(prompt).completion == completion


@pytest.mark.parametrize("level", ["sum", "sums", "precedence", "brackets"])
def test_every_step_and_answer_is_true(level):
    for example in make_task(f"arith,level={level}").examples("train", 400, 0):
        *steps, answer = re.split("[,#]", example.completion)
        for left, right in (step.split("=") for step in steps):
            assert eval(left) == int(right)
        assert eval(example.prompt[:-1]) == int(answer) == int(example.answer) >= 0
        ast.parse(example.data["expression"])
        assert set(example.prompt + example.completion) <= set("0123456789+-*()=,#")


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("4*2=8,3+8=11#11", True),
        ("#11", True),
        ("#11\n", True),
        ("nonsense#11", True),
        ("11", False),
        ("", False),
        ("#", False),
        ("#11#11", False),
        ("#10#11", False),
        ("#11#", False),
        ("#11,12", False),
        ("#10 11", False),
        ("#1,2,3,4,5,6,7,8,9,10,11", False),
        ("#11\n3+4*2=", False),
        ("#011", False),
        ("#+11", False),
        ("#11.0", False),
        ("#-11", False),
        ("#111", False),
        ("#1 1", False),
        ("#１１", False),
        ("#11=11", False),
        ("11#", False),
    ],
)
def test_plain_verifier(completion, right):
    example = solve("3+4*2=")
    task = make_task("arith,level=precedence")
    assert task.correct(example, completion) == right
    assert task.reward(example, completion) == float(right)
    assert after_marker(completion, "11") == right


def test_one_digit_sums_take_the_number_alone():
    task, example = make_task("arith"), solve("7+8=")
    assert [task.correct(example, c) for c in ("15", " 15\n", "15.", "#15", "15 15", "14", "1 5", "015", "7+8=15")] == [
        True,
        True,
        *[False] * 7,
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 11.", 11),
        ("3+4*2 = 11", 11),
        ("**11**", 11),
        ("$\\boxed{11}$", 11),
        ("11.0", 11),
        ("1,234", 1234),
        ("1,234,567.5", Fraction(2469135, 2)),
        ("-11", -11),
        ("The answer is -11", -11),
        ("The answer is −11", -11),
        ("=-11", -11),
        ("14-3", 3),
        ("14 - 3", 3),
        ("14 -3", 3),
        ("11%", 11),
        ("1 2 3 4 5 6 7 8 9 10 11 12", 12),
        ("It is 11, not 12", 12),
        ("11, I think", 11),
        ("11\n\nCalculate 5+5", 5),
        ("", None),
        ("eleven", None),
        ("x11", None),
        ("11th", None),
        ("1e1", None),
        ("10,11", None),
        ("1.1.1", None),
        ("1,1", None),
        ("１１", None),
        ("11_000", None),
    ],
)
def test_last_number(text, number):
    assert last_number(text) == number


def test_chat_verifier():
    task = make_task("arith,level=precedence,style=chat")
    example = next(e for e in task.examples("train", 3000, 0) if e.answer == "11")
    assert example.prompt == f"Calculate {example.data['expression']}. Answer with a number."
    assert task.correct(example, "First 4*2 = 8, then 3+8 = 11.")
    assert not task.correct(example, "-11")
    assert not task.correct(example, "11 or 12")
    assert not task.correct(example, example.prompt)


def test_hints_give_the_answer_away():
    assert make_task("arith,level=precedence").hint(solve("3+4*2=")) == "#11\n3+4*2="
    chat = make_task("arith,style=chat")
    example = chat.examples("train", 1, 0)[0]
    assert chat.hint(example) == f"{example.prompt} The answer is {example.answer}; show how to get there."


def test_counting_against_a_loop():
    for style in ("plain", "letters", "objects"):
        task = make_task(f"count,style={style}")
        for example in task.examples("train", 200, 0):
            things = example.data["items"] if style == "objects" else list(example.data["text"])
            assert int(example.answer) == sum(thing == example.data["asked"] for thing in things)
            assert len(things) <= 6
    task = make_task("count,style=letters,length=6")
    banana = [e for s in ("train", "test") for e in task.examples(s, 5000, 0) if "word banana" in e.prompt]
    assert {e.data["asked"]: e.answer for e in banana} == {"a": "3", "b": "1", "e": "0", "n": "2"}
    plain = make_task("count")
    example = problems("count")["aabab:a="]
    assert [plain.correct(example, c) for c in ("3", "3\n", "03", "1 2 3", "3 3", "three", "4", "")] == [
        True,
        True,
        *[False] * 6,
    ]


def test_copy_and_reverse():
    for name, right in (("copy", "abc"), ("reverse", "cba")):
        task = make_task(f"{name},length=3,letters=3")
        example = problems(f"{name},length=3,letters=3")[f"{name} abc:"]
        for text in ("abc", "cba", "abcabc", "abc cba", "ab", "ABC", "", "a b c", "abcc", "cbaabc"):
            assert task.correct(example, text) == (text == right)
        assert task.correct(example, right + "\n")
        # every string of 1 to 3 of 3 letters is a problem, once
        assert len({e.prompt for s in ("train", "test") for e in task.examples(s, 50, 0)}) == 3 + 9 + 27


def test_mistaken_demonstrations_add_first_and_the_verifier_knows():
    always = {e.prompt: e for e in Arith(level="precedence", mistakes=1.0).examples("train", 4000, 0)}
    right = {e.prompt: e for e in Arith(level="precedence").examples("train", 4000, 0)}
    assert always["3+4*2="].completion == "3+4=7,7*2=14#14"
    assert always["4*2+3="].completion == "2+3=5,4*5=20#20"
    assert always["4*8-3="].completion == "8-3=5,4*5=20#20"
    assert always["4*2-3="] == right["4*2-3="]  # nothing here is negative
    assert right["3+4*2="].completion == "4*2=8,3+8=11#11"
    assert not Arith(level="precedence").correct(always["3+4*2="], always["3+4*2="].completion)
    assert always.keys() == right.keys()
    some = Arith(level="precedence", mistakes=0.5).examples("train", 8000, 0)
    wrong = sum(e.completion == always[e.prompt].completion != right[e.prompt].completion for e in some)
    can_be_wrong = sum(always[e.prompt].completion != right[e.prompt].completion for e in some)
    assert abs(wrong / can_be_wrong - 0.5) < 0.04
    with pytest.raises(UsageError, match="only level precedence"):
        Arith(level="brackets", mistakes=0.5)


def test_review_mixes_in_the_level_before():
    mixed = Arith("brackets", review=0.75, mistakes=0.5)
    found = mixed.examples("train", 400, 3)
    assert sum("(" in example.prompt for example in found) == 100
    assert mixed.examples("train", 400, 3) == found
    wrong = [example for example in found if not mixed.correct(example, example.completion)]
    assert 80 < len(wrong) < 150 and not any("(" in example.prompt for example in wrong)  # half of 300, less luck
    assert all("(" in example.prompt for example in mixed.examples("test", 100, 3))
    assert {"(" in example.prompt for example in Arith("brackets", review=1.0).examples("train", 50, 0)} == {False}


def test_nothing_to_review_or_to_mistake():
    with pytest.raises(UsageError, match="no level before sum"):
        Arith("sum", review=0.5)
    with pytest.raises(UsageError, match="only level precedence can be taken in the wrong order"):
        Arith("brackets", mistakes=0.5)
