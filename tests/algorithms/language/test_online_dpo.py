"""Online DPO: which of two completions is chosen, ties, and the judges."""

import jax
import numpy as np
import pytest

from puzzlebox.acting.ask import ask_person
from puzzlebox.algorithms.language.online_dpo import OnlineDPO, rank_answers
from puzzlebox.errors import UsageError
from puzzlebox.runs.build import load_model
from puzzlebox.types import Example, Trajectory

START = load_model("new,layers=1,width=32,heads=2,kv_heads=2,hidden=64,context=32")


class Graded:
    """A task that gives ``grade(text)``."""

    chat, max_tokens = False, 3

    def __init__(self, grade):
        self.grade = grade

    def examples(self, split, count, seed):
        return [Example("=", "a")] * count

    def reward(self, example, completion):
        return float(self.grade(completion))

    def correct(self, example, completion):
        return True


def test_the_better_of_two_neighbours_comes_first():
    tokens = np.arange(12).reshape(6, 2)
    nothing = np.zeros((6, 2))
    trajectory = Trajectory(tokens, tokens + 1, *[nothing] * 5, np.ones((6, 2), bool))
    rows, told_apart = rank_answers(trajectory, np.array([1.0, 0.0, 0.2, 0.7, 0.5, 0.5]))
    assert rows.observation[:, 0].tolist() == [0, 6, 8, 2, 4, 10]
    assert np.asarray(told_apart).tolist() == [True, True, False]


def leaves(state):
    return jax.tree.leaves(state.params)


def test_ties_teach_nothing():
    algorithm = OnlineDPO(Graded(lambda text: 1), START, num_prompts=4, learning_rate=1e-2)
    state = algorithm.init(jax.random.key(0))
    after, metrics = algorithm.step(state)
    assert float(metrics["frac_ties"]) == 1.0
    assert all(np.array_equal(a, b) for a, b in zip(leaves(state), leaves(after), strict=True))


def test_what_the_judge_likes_becomes_likelier_and_resume_repeats_it():
    algorithm = OnlineDPO(Graded(lambda text: sum(map(ord, text)) % 7), START, num_prompts=4, learning_rate=1e-2, num_epochs=2)  # fmt: skip  # noqa: E501
    state = algorithm.init(jax.random.key(0))
    once, first = algorithm.step(state)
    again, repeated = algorithm.step(state)
    assert float(first["rewards/margins"]) > 0.0  # the mean of two steps on the same pairs, the first of which is 0
    assert first["loss"] == repeated["loss"]
    assert int(once.iteration) == 1
    assert all(np.array_equal(a, b) for a, b in zip(leaves(once), leaves(again), strict=True))


def test_a_person_is_asked_until_the_answer_is_one(capsys):
    pressed = iter(["\n", "c", "B"])
    assert ask_person("2+2=", "5", "4\x1b[2J", "1/3", lambda _: next(pressed)) == (0.0, 1.0)
    assert ask_person([{"role": "user", "content": "Hi"}], "x", "y", "2/3", lambda _: "=") == (0.0, 0.0)
    assert ask_person("q", "x", "y", "3/3", lambda _: "a") == (1.0, 0.0)
    captured = capsys.readouterr()
    assert "1/3  2+2=\n  a: 5\n  b: 4\ufffd[2J\n" in captured.err  # nothing that steers the terminal
    assert captured.out == ""


def test_nobody_is_asked_which_of_two_equal_answers_is_better(capsys):
    assert ask_person("2+2=", "4", "4", "1/1") == (0.0, 0.0)
    assert capsys.readouterr().err == ""


def test_one_of_two_judges():
    with pytest.raises(UsageError, match="one of them judges"):
        OnlineDPO(Graded(len), START, human=True, reward_model="runs/rm")
