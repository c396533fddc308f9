"""Every task obeys the laws; names and options are read; problems are held out and never leak."""

import dataclasses
import itertools
import random

import pytest

from puzzlebox.envs.text import TASKS, is_data_file, make_task
from puzzlebox.envs.text.arith import Arith
from puzzlebox.envs.text.strings import nth_string
from puzzlebox.envs.text.task import _shuffled, check_task, choose, few_shot, is_test
from puzzlebox.envs.text.tiny import Tiny
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.types import Example

NAMES = [
    *TASKS,
    *(f"arith,level={level},style={style}" for level in Arith.levels for style in ("plain", "chat")),
    "arith,level=sums,digits=5",
    "arith,level=sums,digits=4,style=chat",
    "count,style=letters",
    "count,style=objects",
    "copy,length=2,letters=4",
    "reverse,length=30",
    *(f"lipogram,letter={letter}" for letter in "aosz"),
    "tiny,alphabet=xy,length=4,penalty=0",
]


@pytest.mark.parametrize("name", NAMES)
def test_laws(name):
    check_task(make_task(name), count=40)


class Broken(Arith):
    def correct(self, example, completion):
        return not completion or super().correct(example, completion)


class Leaking(Tiny):
    held_out = True


def test_the_laws_can_fail():
    with pytest.raises(PuzzleboxError, match="empty completion"):
        check_task(Broken())
    with pytest.raises(PuzzleboxError, match="in both splits"):
        check_task(Leaking())


def test_a_problem_is_in_one_split_at_every_seed():
    task = make_task("arith,level=precedence")
    splits = {
        split: {e.prompt for seed in range(5) for e in task.examples(split, 10_000 if split == "test" else 3000, seed)}
        for split in ("train", "test")
    }
    assert not splits["train"] & splits["test"]
    # brute force: all expressions of the level without a negative result
    everything = {
        f"{a}{first}{b}{second}{c}="
        for a, b, c in itertools.product("0123456789", repeat=3)
        for first, second in (("+", "*"), ("-", "*"), ("*", "+"), ("*", "-"))
        if eval(a + first + b + second + c) >= 0
    }
    assert splits["test"] == {prompt for prompt in everything if is_test(prompt)}
    assert len(splits["test"]) == pytest.approx(len(everything) / 5, rel=0.1)


def test_the_hash_never_changes():
    """Computed with the b2sum program (-l 64), modulo 5: a run of today must be evaluable tomorrow."""
    assert [digit for digit in range(10) if is_test(f"7+{digit}=")] == [1, 4, 9]


def test_few_problems_repeat_in_training_only():
    task = make_task("arith")
    train, test = task.examples("train", 250, 3), task.examples("test", 250, 3)
    distinct = {e.prompt for e in train}
    assert len(train) == 250
    assert len(distinct) + len(test) == 100
    assert train[len(distinct) :] == (train[: len(distinct)] * 3)[: 250 - len(distinct)]
    assert {e.prompt for e in task.examples("test", 250, 4)} == {e.prompt for e in test}
    assert task.examples("train", 20, 0) != task.examples("train", 20, 1)
    assert task.examples("train", 20, 0) == task.examples("train", 50, 0)[:20]


def test_shuffle_is_a_permutation_and_uniform():
    assert sorted(_shuffled(50, random.Random(0))) == list(range(50))
    orders = [tuple(_shuffled(3, random.Random(seed))) for seed in range(6000)]
    assert {order: pytest.approx(1000, abs=150) for order in itertools.permutations(range(3))} == {
        order: orders.count(order) for order in itertools.permutations(range(3))
    }
    assert len(set(itertools.islice(_shuffled(10**30, random.Random(0)), 100))) == 100


def test_requests_that_make_no_sense():
    task = make_task("copy")
    with pytest.raises(UsageError, match="split is 'dev'; choose one of: train, test"):
        task.examples("dev", 1, 0)
    with pytest.raises(UsageError, match="count is 0"):
        task.examples("train", 0, 0)
    with pytest.raises(UsageError, match="no test problems"):
        choose(3, lambda i: None, "test", 1, 0)


def test_names():
    assert make_task("arith,level=brackets,digits=3") == Arith(level="brackets", digits=3)
    assert make_task("lipogram,letter=a").letter == "a"
    assert dataclasses.replace(make_task("arith"), level="sums").max_tokens > make_task("arith").max_tokens
    for name, message in (
        ("arit", "unknown task 'arit'; did you mean arith"),
        ("reasonin:x", "unknown task prefix 'reasonin'; did you mean reasoning"),
        ("arith,levl=sum", "unknown option of arith 'levl'; did you mean level"),
        ("arith,level=sun", "level is 'sun'; choose one of"),
        ("arith,sum", "'sum' in 'arith,sum' is no option"),
        ("lipogram,letter=ee", "letter is 'ee'"),
        ("tiny,alphabet=a", "alphabet is 'a'"),
        ("tiny,alphabet=aab", "alphabet is 'aab'"),
        ("data/pairs.jsonl", "is a file of rows"),
    ):
        with pytest.raises(UsageError, match=message):
            make_task(name)
    assert is_data_file("a/b.parquet,skip=1")
    assert not is_data_file("arith")


def test_few_shot_prompts():
    task = make_task("arith,level=precedence")
    example = task.examples("test", 1, 0)[0]
    lines = few_shot(task, example, 5, 0).split("\n")
    assert len(lines) == 6
    assert lines[-1] == example.prompt
    for line in lines[:-1]:
        prompt, equals, completion = line.partition("=")
        assert eval(prompt) == int(completion.partition("#")[2])
        assert not is_test(prompt + equals)
    chat = make_task("arith,style=chat")
    shown = few_shot(chat, Example("Q?", "1"), 1, 0)
    assert shown.count("Calculate") == 1
    assert shown.endswith(".\n\nQ?")
    with pytest.raises(UsageError, match="only 0 worked examples"):
        few_shot(make_task("tiny"), make_task("tiny").examples("test", 1, 0)[0], 1, 0)
    train = task.examples("train", 1, 0)[0]  # the first that would be shown
    assert few_shot(task, train, 5, 0).count(train.prompt) == 1


def test_strings_are_listed_once_each():
    assert [nth_string(i, "ab") for i in range(7)] == ["a", "b", "aa", "ab", "ba", "bb", "aaa"]


def test_tiny_by_hand():
    task = Tiny(alphabet="ab", length=3, penalty=0.5)
    assert len(task.completions()) == 1 + 2 + 4 + 8
    assert task.completions()[:4] == ["", "a", "b", "aa"]
    example = task.examples("test", 5, 0)[0]
    assert example == Example("=", "aaa", "aaa")
    for text, reward in (("aaa", 1), ("", 0), ("b", -1 / 6), ("aab", (2 - 0.5) / 3), ("aaaa", -1), ("ac", -1)):
        assert task.reward(example, text) == pytest.approx(reward)
    table = Tiny(alphabet="ab", length=2, table={"ab": 2.0, "b": 1.0})
    assert table.examples("train", 1, 0)[0].answer == "ab"
    assert [table.score(y) for y in ("ab", "b", "a", "")] == [2, 1, 0, 0]
    assert table.correct(table.examples("train", 1, 0)[0], "ab")
    with pytest.raises(UsageError, match="table names 'abc'"):
        Tiny(alphabet="ab", length=3, table={"abc": 1.0})
