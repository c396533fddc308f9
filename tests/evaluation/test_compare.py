import json

import numpy as np
import pytest

from puzzlebox.errors import UsageError
from puzzlebox.evaluation.compare import Contestant, compare_runs, groups, holm, judge, number
from puzzlebox.stats import intervals as statistics


def write_run(path, scores, *, algorithm="ppo", env="CartPole-v1", sweep=None, episodes=3, steps=1000, **config):
    """A run directory with one agent per score (for a sweep: values outermost); every episode returns the score."""
    sweep = sweep or {}
    values = [dict(zip(sweep, row, strict=True)) for row in zip(*sweep.values(), strict=True)] or [{}]
    seeds = len(scores) // len(values)
    agents = [{"seed": seed} | value for value in values for seed in range(seeds)]
    path.mkdir()
    record = {"format": 1, "algorithm": algorithm, "env": env, "seed": 0, "seeds": seeds, "steps": steps}
    record |= {"sweep": sweep, "agents": agents, "hyperparameters": {}} | config
    (path / "config.json").write_text(json.dumps(record))
    returns = np.repeat(np.array(scores, float)[:, None], episodes, axis=1)
    modes = {"greedy": {"episode_returns": returns.tolist()}, "sampled": {"episode_returns": (returns - 5).tolist()}}
    (path / "evaluation.json").write_text(json.dumps({"steps": steps, "episodes": episodes, "seed": 0} | modes))
    return path


GOOD, BAD = [480, 490, 495, 500, 500, 485], [100, 120, 90, 150, 130, 110]


def test_the_better_run_beats_the_other_one(tmp_path):
    result = compare_runs([write_run(tmp_path / "b", BAD, algorithm="dqn"), write_run(tmp_path / "a", GOOD)])
    pair = result["pairs"][0]
    assert (pair["a"], pair["b"], pair["winner"]) == ("ppo", "dqn", "ppo")
    assert pair["probability_of_improvement"] == 1.0
    # IQM of six: the four in the middle. (485 + 490 + 495 + 500) / 4 − (100 + 110 + 120 + 130) / 4
    assert pair["difference"] == 492.5 - 115
    assert result["sentence"].startswith("ppo beats dqn on CartPole-v1: interquartile mean (IQM) 492.5 (")
    assert "difference 377.5" in result["sentence"] and "6 and 6 seeds" in result["sentence"]
    assert result["notes"] == []
    json.dumps(result)


def test_equals_cannot_be_told_apart(tmp_path):
    result = compare_runs([write_run(tmp_path / "x", GOOD), write_run(tmp_path / "y", [s + 1 for s in GOOD])])
    assert result["pairs"][0]["winner"] is None
    assert result["sentence"].startswith("ppo (y) and ppo (x) cannot be told apart on CartPole-v1")


def test_a_run_against_itself(tmp_path):
    run = write_run(tmp_path / "x", GOOD)
    result = compare_runs([run, run])
    assert result["pairs"][0]["winner"] is None
    assert result["pairs"][0]["difference"] == 0


def test_swept_values_are_contestants(tmp_path):
    run = write_run(tmp_path / "s", BAD + GOOD, sweep={"learning_rate": [0.1, 0.001]})
    result = compare_runs([run])
    assert [c["setting"] for c in result["contestants"]] == [{"learning_rate": 0.001}, {"learning_rate": 0.1}]
    assert result["sentence"].startswith("ppo, learning rate 0.001 beats ppo, learning rate 0.1 on CartPole-v1")


def test_groups_keep_the_order_and_find_every_agent():
    agents = [{"seed": s, "a": a, "b": b} for a in (1, 2) for b in (3, 4) for s in (0, 1)]
    found = groups({"sweep": {"a": [1, 2], "b": [3, 4]}, "agents": agents})
    assert found[1] == ({"a": 1, "b": 4}, [2, 3])
    assert groups({"sweep": {}, "agents": [{"seed": 0}, {"seed": 1}]}) == [({}, [0, 1])]


def test_three_runs_name_the_best_and_correct_for_their_number(tmp_path):
    runs = [
        write_run(tmp_path / "a", GOOD),
        write_run(tmp_path / "b", BAD, algorithm="dqn"),
        write_run(tmp_path / "c", [s - 1 for s in GOOD], algorithm="reinforce"),
    ]
    result = compare_runs(runs)
    assert len(result["pairs"]) == 3
    assert "it beats dqn and cannot be told apart from reinforce" in result["sentence"]
    alone = compare_runs(runs[:2])["pairs"][0]["p_value"]
    together = next(pair for pair in result["pairs"] if (pair["a"], pair["b"]) == ("ppo", "dqn"))["p_value"]
    np.testing.assert_allclose(together, 3 * alone, rtol=0.5)


def test_holm_by_hand():
    # sorted 0.01, 0.03, 0.04 times 3, 2, 1 = 0.03, 0.06, 0.04 -> never falling: 0.03, 0.06, 0.06
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03]), [0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_few_seeds_are_told_honestly(tmp_path):
    one = compare_runs([write_run(tmp_path / "a", [500]), write_run(tmp_path / "b", [100], algorithm="dqn")])
    assert one["pairs"][0]["winner"] is None
    assert "With 1 seed an interval is not meaningful" in one["sentence"]
    three = compare_runs([write_run(tmp_path / "c", GOOD[:3]), write_run(tmp_path / "d", BAD[:3], algorithm="dqn")])
    assert three["pairs"][0]["winner"] is None  # the smallest possible p is 2 / C(6, 3) = 0.1
    assert "So few seeds cannot show any difference" in three["sentence"]
    uneven = compare_runs([write_run(tmp_path / "e", [500, 500]), write_run(tmp_path / "f", BAD * 2, algorithm="dqn")])
    assert uneven["pairs"][0]["winner"] is None


def test_unequal_training_is_noted(tmp_path):
    result = compare_runs(
        [write_run(tmp_path / "a", GOOD), write_run(tmp_path / "b", BAD, algorithm="dqn", steps=5000)]
    )
    assert "They were not trained equally long: 1,000 and 5,000 steps." in result["sentence"]


def test_lengths_cut_to_whole_iterations_are_equal(tmp_path):
    """100,000 steps were asked; PPO's iterations make 98,304 of them, another's 99,840."""
    one = write_run(tmp_path / "a", GOOD, steps=98_304)
    other = write_run(tmp_path / "b", BAD, algorithm="dqn", steps=99_840)
    assert "not trained equally long" not in compare_runs([one, other])["sentence"]


def test_mode_chooses_the_evaluation(tmp_path):
    runs = [write_run(tmp_path / "a", GOOD), write_run(tmp_path / "b", BAD, algorithm="dqn")]
    assert compare_runs(runs, mode="sampled")["contestants"][0]["return_iqm"] == 487.5
    with pytest.raises(UsageError, match="mode is 'best'; choose one of: greedy, sampled"):
        compare_runs(runs, mode="best")


@pytest.mark.parametrize(
    "other, message",
    [
        ({"env": "Acrobot-v1"}, "different worlds: CartPole-v1 and Acrobot-v1"),
        ({"protocol": {"sticky": 0.25}}, "different protocols"),
        ({"episodes": 7}, "evaluate both alike: puzzlebox evaluate .* --episodes 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, other, message):
    with pytest.raises(UsageError, match=message):
        compare_runs([write_run(tmp_path / "a", GOOD), write_run(tmp_path / "b", GOOD, **other)])


def test_a_single_setting_and_broken_evaluations_are_refused(tmp_path):
    run = write_run(tmp_path / "a", GOOD)
    with pytest.raises(UsageError, match="compare needs another run"):
        compare_runs([run])
    with pytest.raises(UsageError, match="compare needs"):
        compare_runs([])
    broken = write_run(tmp_path / "b", GOOD)
    (broken / "evaluation.json").write_text(
        json.dumps({"episodes": 3, "greedy": {"episode_returns": [[None, 1, 2]] * 6}})
    )
    with pytest.raises(UsageError, match="must hold finite returns of 6 agents"):
        compare_runs([run, broken])
    (broken / "evaluation.json").write_text(json.dumps({"episodes": 3}))
    with pytest.raises(UsageError, match="holds no greedy returns"):
        compare_runs([run, broken])
    (broken / "evaluation.json").unlink()
    with pytest.raises(UsageError, match="evaluate it first"):
        compare_runs([run, broken])


def verdict_of(a, b, seed):
    contestants = [Contestant("a", None, {}, np.asarray(a)), Contestant("b", None, {}, np.asarray(b))]
    contestants.sort(key=lambda c: statistics.iqm(c.scores), reverse=True)
    return judge(contestants, seed)[0]["winner"]


def test_between_equals_the_rule_rarely_says_beats():
    generator = np.random.default_rng(0)
    draws = {
        "normal": lambda n: generator.normal(size=n),
        "capped": lambda n: np.minimum(500, generator.normal(480, 60, size=n)),  # CartPole: many ties at 500
        "two peaks": lambda n: np.where(generator.random(n) < 0.7, 500, 200) + generator.normal(size=n),
    }
    verdicts = [verdict_of(draw(n), draw(n), i) for draw in draws.values() for n in (4, 10) for i in range(100)]
    false_alarms = np.mean([winner is not None for winner in verdicts])
    # 5% at most; the standard deviation of the mean of 600 is 0.9%
    assert 0.005 < false_alarms <= 0.07


def test_a_real_difference_is_found():
    generator = np.random.default_rng(1)
    verdicts = [verdict_of(generator.normal(2, 1, size=10), generator.normal(0, 1, size=10), i) for i in range(50)]
    assert np.mean([winner == "a" for winner in verdicts]) > 0.9


@pytest.mark.parametrize(
    "x, text", [(12345.6, "12,346"), (476.23, "476.2"), (0.03131, "0.0313"), (-85.2, "−85.2"), (0.0, "0")]
)
def test_numbers_for_people(x, text):
    assert number(x) == text
