"""reasoning-gym's datasets as tasks."""

import subprocess
import sys

import pytest

from puzzlebox.envs.text import make_task
from puzzlebox.envs.text.task import check_task
from puzzlebox.errors import UsageError


@pytest.fixture
def gym():
    return pytest.importorskip("reasoning_gym")


@pytest.mark.parametrize("name", ["spell_backward", "chain_sum", "leg_counting", "spell_backward,max_word_len=4"])
def test_laws(gym, name):
    check_task(make_task(f"reasoning:{name}"), count=20)


def test_answers(gym):
    task = make_task("reasoning:chain_sum,min_terms=2,max_terms=2")
    example = task.examples("test", 1, 0)[0]
    question = example.prompt.split("\n")[0]
    right = str(eval(question[question.index(":") + 1 :].replace("=", "")))
    assert example.answer == right
    for completion, correct in (
        (f"<answer>{right}</answer>", True),
        (f"First I think.\n<answer>\n{right} </answer> Done.", True),
        (f"<answer>7</answer> no: <answer>{right}</answer>", True),
        (right, True),
        (f"<answer>{right}</answer> no: <answer>7</answer>", False),
        (f"{right} <answer>{right}1</answer>", False),
        ("<answer></answer>", False),
        ("", False),
        (f"<answer>{right} {int(right) + 1}</answer>", False),
    ):
        assert task.correct(example, completion) == correct, completion
    assert task.hint(example).endswith(f"The answer is {right}; show how to get there.")


def test_options(gym):
    task = make_task("reasoning:spell_backward,max_word_len=4")
    assert all(len(e.answer) <= 4 for e in task.examples("train", 20, 0))
    for name, message in (
        ("spell_backwards", "did you mean spell_backward"),
        ("spell_backward,word=4", "unknown option of reasoning:spell_backward 'word'"),
        ("spell_backward,max_word_len=x", "max_word_len is 'x'; it must be a whole number"),
        ("spell_backward,min_word_len=0", "refuses its options"),
    ):
        with pytest.raises(UsageError, match=message):
            make_task(f"reasoning:{name}")


def test_a_failing_scorer_gives_nothing(gym, monkeypatch):
    from puzzlebox.envs.text import reasoning

    class Scorer:
        def score_answer(self, answer, item):
            return {"raise": None, "much": 7.0, "negative": -2.0}[answer] + 0

    monkeypatch.setattr(reasoning, "_dataset", lambda *_: Scorer())
    task, example = reasoning.Reasoning("any"), reasoning.Example("?", data={"item": {}})
    assert [task.reward(example, text) for text in ("raise", "much", "negative")] == [0, 1, 0]


def test_without_the_package():
    code = (
        "import sys; sys.modules['reasoning_gym'] = None\n"
        "from puzzlebox.envs.text import make_task\n"
        "try: make_task('reasoning:chain_sum')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "UsageError reasoning-gym is not installed; get it with: pip install 'puzzlebox[reasoning]'\n"
