"""Plain defaults learn near-optimal policies: five algorithms, seven worlds, ten seeds."""

import numpy as np
import pytest

from puzzlebox.training.train import train

# Exact optima of the expected return: robot 96.7, toy 0.6, slippery toy 0.41, maze −18, FrozenLake 0.74, Taxi 7.93,
# CliffWalking −13.
# On-policy learners walk the cliff's safe path (−15 or −17) on purpose.
WORLDS = {
    "grid/robot": 96.0,
    "grid/toy": 0.59,
    "grid/toy,slip=0.2": 0.36,
    "grid/maze": -18.0,
    "gym:FrozenLake-v1": 0.68,
    "gym:Taxi-v4": 7.2,
    "gym:CliffWalking-v1": -17.0,
}


@pytest.mark.parametrize("env", WORLDS)
@pytest.mark.parametrize("algorithm", ["monte_carlo", "sarsa", "expected_sarsa", "q_learning", "dyna_q"])
def test_defaults_learn(algorithm, env, tmp_path):
    figures = train(algorithm, env, seeds=10, seed=4711, run=tmp_path / "run", quiet=True)
    assert figures["return_mean"] >= WORLDS[env]


def test_a_host_simulator_learns_the_same(tmp_path):
    figures = train(
        "q_learning", "gym:FrozenLake-v1,host=true", seeds=2, steps=100_000, run=tmp_path / "run", quiet=True
    )
    assert figures["return_mean"] >= 0.6


def test_blackjack_is_learned_from_its_three_numbers(tmp_path):
    figures = train("monte_carlo", "gym:Blackjack-v1", steps=200_000, episodes=2000, run=tmp_path / "run", quiet=True)
    assert figures["return_mean"] >= -0.1  # the best strategy loses 0.045 a game, a random one 0.39


def test_swept_values_are_one_program(tmp_path):
    figures = train(
        "sarsa", "grid/robot", seeds=3, seed=0, run=tmp_path / "run", quiet=True, epsilon_end=[0.0, 0.1], steps=100_000
    )
    assert len(figures["table"]) == 2
    assert np.all([row["return_mean"] > 95 for row in figures["table"]])
