"""Ratings by hand, against an independent maximum-likelihood fit, and intervals against simulated games."""

import numpy as np
import pytest
from scipy.optimize import minimize

from puzzlebox.stats import elo


def table(pairs, players):
    """(i, j, wins of i, draws, wins of j) rows as the two matrices."""
    wins, draws = np.zeros((players, players)), np.zeros((players, players))
    for i, j, won, drawn, lost in pairs:
        wins[i, j], wins[j, i], draws[i, j], draws[j, i] = won, lost, drawn, drawn
    return wins, draws


@pytest.mark.parametrize(
    ("difference", "score"),
    [(0, 1 / 2), (400, 10 / 11), (-400, 1 / 11), (800, 100 / 101), (120, 0.666139), (200, 0.759747)],
)
def test_the_scale_is_elos(difference, score):
    """400 points are odds of 10 to 1; 120 and 200 points from the formula with a pocket calculator."""
    fitted = elo.fit(np.array([0]), np.array([1]), np.array([[score]]), np.array([100.0]), 2)
    assert fitted[0] == pytest.approx([difference / 2, -difference / 2], abs=1e-3)


def test_ten_to_one_is_400_points_and_draws_are_halves():
    for pairs in ([(0, 1, 100_000, 0, 10_000)], [(0, 1, 90_000, 20_000, 0)]):
        ratings = elo.rate(*table(pairs, 2))
        assert ratings.difference[0, 1, 0] == pytest.approx(400, abs=0.2)
        assert ratings.difference[1, 0, 0] == pytest.approx(-400, abs=0.2)
        assert ratings.elo.sum() == pytest.approx(0, abs=1e-6)


def test_many_draws_tell_more_than_wins_and_losses():
    """1000 draws: the score has no spread. 500 wins and 500 losses: it has one of ½/√1000, which is 5.5 points."""
    drawn = elo.rate(*table([(0, 1, 0, 1000, 0)], 2)).difference[0, 1]
    won = elo.rate(*table([(0, 1, 500, 0, 500)], 2)).difference[0, 1]
    assert drawn[0] == won[0] == pytest.approx(0, abs=1e-9)
    assert drawn[2] - drawn[1] < 3
    assert won[2] - won[1] == pytest.approx(2 * 1.96 * 400 / np.log(10) * 4 * 0.5 / np.sqrt(1000), rel=0.06)


def test_one_who_never_lost_has_a_finite_rating_and_a_wide_interval():
    for games in (10, 1000):
        difference, low, high = elo.rate(*table([(0, 1, games, 0, 0)], 2)).difference[0, 1]
        # By hand: (n + 0.75) / (n + 1.5) of the points.
        assert difference == pytest.approx(400 * np.log10((games + 0.75) / 0.75), abs=1e-6)
        assert low < difference < high < np.inf and high - low > 300


def test_against_an_independent_fit():
    pairs = [(0, 1, 30, 11, 20), (0, 2, 44, 3, 9), (1, 2, 25, 20, 7), (2, 3, 12, 0, 3), (1, 3, 9, 1, 1)]
    wins, draws = table(pairs, 4)

    def loss(x):
        total = 0.0
        for i, j, won, drawn, lost in pairs:
            n, share = won + drawn + lost, (won + drawn / 2 + 0.75) / (won + drawn + lost + 1.5)
            odds = 10 ** ((x[i] - x[j]) / 400)
            total -= n * (share * np.log(odds / (1 + odds)) + (1 - share) * np.log(1 / (1 + odds)))
        return total + x.sum() ** 2

    best = minimize(loss, np.zeros(4), tol=1e-12, method="BFGS", options={"gtol": 1e-9}).x
    assert elo.rate(wins, draws).elo == pytest.approx(best - best.mean(), abs=0.05)


def test_who_never_met_has_no_common_scale():
    with pytest.raises(ValueError, match="never met"):
        elo.rate(*table([(0, 1, 5, 0, 5), (2, 3, 1, 0, 1)], 4))


@pytest.mark.parametrize("chances", [(0.5, 0.2, 0.3), (0.05, 0.9, 0.05), (0.97, 0.02, 0.01)])
def test_intervals_hold_the_truth_as_often_as_they_say(chances):
    truth = 400 * np.log10((s := chances[0] + chances[1] / 2) / (1 - s))
    generator, held = np.random.default_rng(0), 0
    for trial in range(400):
        won, drawn, lost = generator.multinomial(100, chances)
        _, low, high = elo.rate(*table([(0, 1, won, drawn, lost)], 2), samples=500, seed=trial).difference[0, 1]
        held += low <= truth <= high
    assert 0.92 <= held / 400 <= 0.99
