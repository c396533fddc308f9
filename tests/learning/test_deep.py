"""Do the deep agents learn? Plain ``train`` with default settings, 10 seeds, greedy play with training tricks off.

The thresholds are the scores the documentation promises; the interval is printed with every figure (``pytest -s``).
"""

import pytest

from puzzlebox.training.train import train

PROMISES = [
    ("ppo", "CartPole-v1", 100_000, 475),
    ("dqn", "CartPole-v1", 100_000, 475),
    ("reinforce", "CartPole-v1", 300_000, 450),
    ("actor_critic", "CartPole-v1", 300_000, 450),
    ("ppo", "Acrobot-v1", 500_000, -85),
    ("ppo", "Pendulum-v1", 500_000, -250),
]


@pytest.mark.parametrize(("algorithm", "env", "budget", "promised"), PROMISES)
def test_plain_train_reaches_its_promise(algorithm, env, budget, promised, tmp_path):
    figures = train(algorithm, env, seeds=10, seed=4711, run=tmp_path / "run", quiet=True)
    print(algorithm, env, figures["return_iqm"], figures["return_ci"])
    assert figures["steps"] <= budget
    assert figures["return_iqm"] >= promised, figures["greedy"]["returns"]


def test_reinforce_learns_without_a_baseline_too(tmp_path):
    figures = train("reinforce", "CartPole-v1", seeds=10, run=tmp_path / "run", quiet=True, baseline=False)
    assert figures["return_iqm"] >= 450, figures["greedy"]["returns"]


def test_a_sweep_is_one_program_and_every_value_is_told_apart(tmp_path):
    figures = train("ppo", "CartPole-v1", seeds=5, run=tmp_path / "run", quiet=True, learning_rate=[1e-5, 1e-3])
    slow, fast = figures["table"]
    assert (slow["learning_rate"], fast["learning_rate"]) == (1e-5, 1e-3)
    assert fast["return_iqm"] >= 475
    assert slow["return_iqm"] < 300  # a rate a hundred times smaller cannot be there yet
