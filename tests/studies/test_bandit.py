"""Regret on bandits: hand-made arms, an independent plain-Python agent, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs.bandit import Bandit
from puzzlebox.errors import UsageError
from puzzlebox.studies.bandit import bandit, bandit_regret, pull_arms, strategies, summary_lines


def regrets(env, epsilon, bonus=0.0, runs=300):
    keys = jax.random.split(jax.random.key(0), runs)
    return jax.jit(jax.vmap(lambda key: pull_arms(env, jnp.asarray(epsilon, jnp.float32), jnp.float32(bonus), key)))(
        keys
    )


def test_greedy_stays_with_the_first_arm_that_pays():
    # Arm 0 always pays 1, arm 1 never. Until arm 0 is tried both are worth 0, so arm 1 is pulled k times with
    # probability 2^-(k+1): 1 on average, variance 2.
    regret, best = regrets(Bandit(noise="bernoulli", means=jnp.array([1.0, 0.0])), np.zeros(40))
    assert abs(float(regret[:, -1].mean()) - 1) < 4 * np.sqrt(2 / 300)
    np.testing.assert_array_equal(regret[:, -1], (~best).sum(axis=1))
    assert (best[:, 1:] >= best[:, :-1]).all()


def test_pure_exploration_loses_the_mean_gap_every_step():
    regret, _ = regrets(Bandit(means=jnp.array([0.0, 1.0, 2.0])), np.ones(100))
    assert abs(float(regret[:, -1].mean()) - 100) < 4 * np.sqrt(100 * 2 / 3 / 300)  # gaps 2, 1, 0
    assert (jnp.diff(regret, axis=1) >= 0).all()


def test_ucb_tries_every_arm_first_and_then_wins():
    regret, best = regrets(Bandit(means=jnp.array([0.0, 0.5, 3.0]), deviation=0.1), np.zeros(200), bonus=1.0)
    np.testing.assert_allclose(regret[:, 2], 3.0 + 2.5, rtol=1e-5)
    assert best[:, -1].mean() > 0.9


def test_epsilon_greedy_agrees_with_a_plain_loop():
    means, steps, runs = np.array([0.0, 1.0]), 60, 600
    ours, _ = regrets(Bandit(means=jnp.asarray(means, jnp.float32)), np.full(steps, 0.2), runs=runs)
    rng = np.random.default_rng(0)
    theirs = np.zeros(runs)
    for run in range(runs):
        total, count = np.zeros(2), np.zeros(2)
        for _ in range(steps):
            q = total / np.maximum(count, 1)
            arm = rng.integers(2) if rng.random() < 0.2 or q[0] == q[1] else int(q.argmax())
            total[arm] += rng.normal(means[arm])
            count[arm] += 1
            theirs[run] += 1 - means[arm]
    noise = np.hypot(theirs.std(), float(ours[:, -1].std())) / np.sqrt(runs)
    assert abs(float(ours[:, -1].mean()) - theirs.mean()) < 4 * noise


def test_the_report_and_its_picture(tmp_path):
    report = bandit(5, 300, 100, epsilons=(0.1,), out=tmp_path / "regret")
    assert list(report["strategies"]) == ["no exploration", "ε = 0.1", "ε decaying, 5/t", "UCB1"]
    assert [name.rsplit("/")[-1] for name in report["pictures"]] == ["regret.png", "regret.svg"]
    for figures in report["strategies"].values():
        low, high = figures["regret_ci"]
        assert low < figures["regret"] < high
        assert figures["curve"]["steps"][-1] == 300
        assert figures["curve"]["regret"][-1] == figures["regret"]
        assert 0 < figures["best_arm"] < 1
    assert report["strategies"]["ε decaying, 5/t"]["regret"] < report["strategies"]["no exploration"]["regret"]


def test_a_line_for_each_way_of_exploring():
    figures = {"regret": 12.34, "regret_ci": [10.0, 15.0], "best_arm": 0.815}
    line, file = summary_lines({"strategies": {"UCB1": figures}, "pictures": ["regret.png"]})
    assert line.split() == ["UCB1", "regret", "12.3", "(95%", "interval", "10.0", "to", "15.0)", "best", "arm", "82%"]
    assert file == "regret.png"


def test_all_strategies_meet_the_same_arms_and_a_seed_repeats():
    plans = strategies(3, 40, (0.5,))
    first, _ = bandit_regret(3, 40, 5, plans, seed=7)
    again, _ = bandit_regret(3, 40, 5, plans, seed=7)
    for label in plans:
        np.testing.assert_array_equal(first[label], again[label])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arms": 0}, "arms is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"runs": 0}, "runs is 0"),
        ({"epsilons": (0.1, 1.5)}, "epsilon is 1.5"),
        ({"noise": "cauchy"}, "noise is 'cauchy'"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_input_is_told(arguments, message):
    with pytest.raises(UsageError, match=message):
        bandit(**arguments)
