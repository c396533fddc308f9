"""Win rates of models whose answers are known, and length control against worlds with a known answer."""

import numpy as np
import pytest

from puzzlebox import cli
from puzzlebox.data.text_worlds import make_text
from puzzlebox.errors import UsageError
from puzzlebox.evaluation import winrate
from puzzlebox.evaluation.judges import make_judge
from puzzlebox.evaluation.subjects import Subject

TINY = "new,layers=1,width=16,heads=2,kv_heads=2,hidden=16,context=64"
TASK = make_text("arith,level=sum")


@pytest.fixture
def written(monkeypatch):
    """`meet` with answers made by functions of the example instead of models."""

    def meet(a, b, compare=None, agents=1):
        subjects = [Subject(name, "", agents, lambda agent: None) for name in "ab"]
        write = {"a": a, "b": b}

        def answers(subject, task, examples, temperature, seed):
            return [[write[subject.name](e, agent) for e in examples] for agent in range(agents)]

        monkeypatch.setattr(winrate, "answers", answers)
        examples = TASK.examples("test", 18, 0)
        return winrate.meet(*subjects, TASK, examples, compare or make_judge("verifier", TASK))

    return meet


def test_right_beats_wrong_and_the_interval_is_not_a_point(written):
    figures = written(lambda e, _: e.answer, lambda e, _: "no")
    assert figures["win_rate"] == 1 and figures["wins"] == 18
    low, high = figures["win_rate_ci"]
    assert 0.85 < low < 0.9 and high <= 1


def test_swapping_the_sides_swaps_the_outcome(written):
    right, wrong = (lambda e, i: e.answer if int(e.answer) % 3 + i else "no"), (lambda e, i: "5")
    one, other = written(right, wrong, agents=2), written(wrong, right, agents=2)
    assert one["wins"] == other["losses"] > 0 and one["ties"] == other["ties"] > 0
    assert one["win_rate"] + other["win_rate"] == pytest.approx(1)
    controlled = one["length_controlled_win_rate"] + other["length_controlled_win_rate"]
    assert controlled == pytest.approx(1)


def test_equal_answers_tie(written):
    figures = written(lambda e, _: "1", lambda e, _: "1")
    assert figures["ties"] == 18 and figures["win_rate"] == 0.5
    assert figures["length_controlled_win_rate"] == pytest.approx(0.5)


def test_a_judge_that_likes_the_first_answer_decides_nothing(written):
    figures = written(lambda e, _: "1", lambda e, _: "2", lambda examples, a, b: [1.0] * len(a))
    assert figures["ties"] == 18 and figures["order_changed_the_verdict"] == 1


def test_agents_meet_their_own_number(written):
    figures = written(lambda e, i: e.answer if i else "no", lambda e, i: "no" if i else e.answer, agents=2)
    assert figures["win_rates"] == [0.0, 1.0] and figures["win_rate"] == 0.5


def test_length_control_takes_the_advantage_of_length_away():
    generator = np.random.default_rng(0)
    difference = generator.normal(80, 60, (1, 4000))
    x = np.tanh(difference / difference.std())
    for quality in (0.0, 1.0):
        won = generator.random(difference.shape) < 1 / (1 + np.exp(-(quality + 1.5 * x)))
        assert won.mean() > 0.7
        controlled = winrate.length_controlled(won.astype(float), difference)
        assert controlled == pytest.approx(1 / (1 + np.exp(-quality)), abs=0.05)


def test_length_control_without_a_difference_is_the_win_rate():
    score = np.array([[1.0] * 60 + [0.0] * 39])
    assert winrate.length_controlled(score, np.zeros(score.shape)) == pytest.approx(60.5 / 100)


def test_two_models_meet_on_the_command_line(capsys):
    assert cli.main(["winrate", TINY, TINY + ",seed=1", "--task", "tiny", "--episodes", "4"]) == 0
    out = capsys.readouterr().out
    assert "tiny, 1 held-out prompts, judged by verifier" in out and "at equal length" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither .* is a run"),
        ({"task": "arithmetic"}, "did you mean arith"),
        ({"task": "arith", "judge": "somebody"}, "judge 'somebody' is neither"),
        ({"task": "arith", "episodes": 0}, "episodes is 0"),
        ({"task": "arith", "temperature": -1.0}, "temperature is -1"),
    ],
)
def test_wrong_requests(options, message):
    with pytest.raises(UsageError, match=message):
        winrate.winrate(TINY, TINY, **options)
