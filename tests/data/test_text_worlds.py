"""Tasks and files by name, and a file of rows as a task."""

import json

import pytest

from puzzlebox.data.text_worlds import RowsTask, is_text, make_text
from puzzlebox.envs.text.arith import Arith
from puzzlebox.envs.text.task import is_test
from puzzlebox.errors import UsageError

USER, ASSISTANT = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}


def file(tmp_path, rows, name="rows.jsonl") -> str:
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def test_names(tmp_path, monkeypatch):
    assert make_text("arith,level=sums").level == "sums"
    assert isinstance(make_text(file(tmp_path, [{"prompt": "a", "completion": "b"}])), RowsTask)
    assert [is_text(name) for name in ("arith", "reasoning:x", "x.jsonl,reward=a.py:f", "x.txt")] == [True] * 4
    assert not any(is_text(name) for name in ("CartPole-v1", "grid/toy", "grid:my_map.txt,slip=0.1", "gym:Taxi"))
    (tmp_path / "arith").mkdir()
    monkeypatch.chdir(tmp_path)
    assert isinstance(make_text("arith"), Arith)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (",rewad=x", "unknown option of .* did you mean reward"),
        (",max_tokens=0", "max_tokens is '0'; it must be a whole number, 1 or more"),
        (",max_tokens=many", "max_tokens is 'many'"),
        (",skip_bad=yes", "skip_bad is 'yes'; it must be true or false"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        make_text(file(tmp_path, [{"prompt": "a", "completion": "b"}]) + options)


def test_one_prompt_in_five_is_held_out(tmp_path):
    rows = [{"prompt": f"{i}+1=", "completion": str(i + 1), "answer": str(i + 1)} for i in range(200)]
    task = make_text(file(tmp_path, rows))
    train, test = ({e.prompt for e in task.examples(split, 200, 0)} for split in ("train", "test"))
    assert test == {row["prompt"] for row in rows if is_test(row["prompt"])}
    assert train == {row["prompt"] for row in rows} - test
    assert 25 < len(test) < 55
    assert task.examples("train", 5, 1) == task.examples("train", 5, 1) != task.examples("train", 5, 2)
    assert len(task.examples("train", 500, 0)) == 500
    example = task.examples("test", 1, 0)[0]
    assert task.correct(example, f" {example.answer}\n")
    assert task.reward(example, example.answer) == 1.0
    assert task.reward(example, "no") == 0.0
    assert example.answer in task.hint(example)


def test_few_rows_are_trained_on_and_tested_on(tmp_path):
    held_out = next(f"{i}" for i in range(100) if is_test(f"{i}"))
    task = make_text(file(tmp_path, [{"prompt": held_out, "completion": "x"}]))
    assert task.examples("train", 1, 0) == task.examples("test", 1, 0)


def test_a_row_without_an_answer_cannot_be_judged(tmp_path):
    task = make_text(file(tmp_path, [{"prompt": "a", "completion": "b"}]))
    with pytest.raises(UsageError, match=r"no column .answer.*reward=FILE\.py:FUNCTION"):
        task.correct(task.examples("train", 1, 0)[0], "b")


@pytest.mark.parametrize(
    ("row", "prompt", "completion"),
    [
        ({"text": "a story"}, "", "a story"),
        ({"prompt": "a", "completion": "b"}, "a", "b"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "a", "b"),
        ({"prompt": "a"}, "a", ""),
        ({"messages": [USER, ASSISTANT]}, [USER], "4"),
        ({"prompt": [USER], "completion": [ASSISTANT]}, [USER], "4"),
        ({"prompt": [USER], "completion": [ASSISTANT, USER, ASSISTANT]}, [USER, ASSISTANT, USER], "4"),
        ({"prompt": [USER]}, [USER], ""),
    ],
)
def test_rows_of_every_kind(tmp_path, row, prompt, completion):
    example = make_text(file(tmp_path, [row])).examples("train", 1, 0)[0]
    assert (example.prompt, example.completion) == (prompt, completion)


def test_a_reward_function_sees_every_column(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def score(completions, least, **columns):\n"
        "    return [float(len(c) >= (n or 0)) for c, n in zip(completions, least)]\n"
    )
    rows = [{"prompt": "a"}, {"prompt": "b", "least": 3}, {"prompt": "c", "least": 2}]
    task = make_text(file(tmp_path, rows) + f",reward={tmp_path / 'mine.py'}:score")
    examples = sorted(task._example(row) for row in task.dataset.rows)
    assert task.rewards(examples, ["", "xy", "xy"]) == [1.0, 0.0, 1.0]
    assert task.correct(examples[2], "xy")
    assert not task.correct(examples[1], "xy")
