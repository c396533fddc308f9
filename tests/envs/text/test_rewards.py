"""Reward functions of the user's own: TRL's convention, and every way to get it wrong."""

import sys

import numpy as np
import pytest

from puzzlebox.envs.text.rewards import reward_function
from puzzlebox.errors import PuzzleboxError, UsageError

FILE = """
import math
import dataclasses

@dataclasses.dataclass
class Rule:
    factor: float = 2.0

def longest(completions, **kwargs):
    return [float(len(c)) for c in completions]

def matches(prompts, completions, solution):
    return [p + c == s for p, c, s in zip(prompts, completions, solution)]

def optional(completions, scale=None):
    return [1 if scale is None else s for s in scale or completions]

def sees(completions, **columns):
    return [len(columns)] * len(completions)

def nan(completions): return [0.5, math.nan]
def inf(completions): return [math.inf, 0]
def none(completions): return [1.0, None]
def text(completions): return ["1.0", 2]
def short(completions): return [1.0]
def single(completions): return 1.0
def nothing(completions): pass
def fails(completions): return [1 / 0 for c in completions]
def old(samples): return []
def positional(completions, /): return []
number = 3
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "my_rewards.py"
    file.write_text(FILE)
    return file


def call(path, name, **columns):
    return reward_function(f"{path}:{name}")(["1+1=", "1+2="], ["2", "33"], columns)


def test_the_convention(path):
    assert call(path, "longest") == [1.0, 2.0]
    assert call(path, "longest", other=[1, 2]) == [1.0, 2.0]
    assert call(path, "matches", solution=["1+1=2", "1+2=3"], other=[0, 0]) == [1.0, 0.0]
    assert call(path, "optional") == [1.0, 1.0]
    assert call(path, "optional", scale=np.array([3, 4]).tolist()) == [3.0, 4.0]
    assert call(path, "sees", a=[1, 2], b=[3, 4]) == [3.0, 3.0]  # prompts and two columns


def test_from_a_module(path, monkeypatch):
    monkeypatch.syspath_prepend(path.parent)
    assert reward_function("my_rewards:longest")([""], ["abc"], {}) == [3.0]
    sys.modules.pop("my_rewards")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan", "nan returned nan for row 1; every reward must be a finite number"),
        ("inf", "inf returned inf for row 0"),
        ("none", "none returned None for row 1"),
        ("text", "text returned '1.0' for row 0"),
        ("short", "short returned 1 rewards for 2 completions"),
        ("single", "single returned 1.0; it must return a list"),
        ("nothing", "nothing returned None; it must return a list"),
        ("fails", r"fails failed: ZeroDivisionError: division by zero \(my_rewards.py, line 28\)"),
    ],
)
def test_wrong_results(path, name, message):
    with pytest.raises(PuzzleboxError, match=message) as caught:
        call(path, name)
    assert caught.value.exit_code == 1


def test_wrong_requests(path):
    with pytest.raises(UsageError, match="matches needs the column 'solution'; there are: answer"):
        call(path, "matches", answer=[1, 2])
    for spec, message in (
        ("longest", "write module:function"),
        (":longest", "write module:function"),
        (f"{path.parent}/no.py:longest", "no.py' does not exist"),
        (f"{path}:longst", "unknown function in .*'longst'; did you mean longest"),
        (f"{path}:number", "is no function but 3"),
        (f"{path}:old", "takes no argument 'completions'"),
        (f"{path}:positional", "takes no argument 'completions'"),
        ("no_such_module_at_all:f", "module 'no_such_module_at_all' does not exist"),
    ):
        with pytest.raises(UsageError, match=message):
            reward_function(spec)


def test_files_that_fail(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("def f(completions):\n    return [\n")
    with pytest.raises(PuzzleboxError, match=r"broken.py' failed: SyntaxError"):
        reward_function(f"{tmp_path}/broken.py:f")
    (tmp_path / "needs_other.py").write_text("import no_such_module_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PuzzleboxError, match="'needs_other' failed: ModuleNotFoundError: No module named 'no_such"):
        reward_function("needs_other:f")
