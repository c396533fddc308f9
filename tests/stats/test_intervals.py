import itertools
import math

import numpy as np
import pytest
import scipy.stats

from puzzlebox.stats import intervals as stats

GENERATOR = np.random.default_rng(0)
TABLE = GENERATOR.normal(size=(3, 8))


def test_iqm_by_hand():
    # 8 scores: the two lowest and the two highest fall away, (3 + 4 + 5 + 6) / 4
    assert stats.iqm(np.array([100, 1, 2, 3, 4, 5, 6, -50])) == 3.5
    assert stats.iqm(np.array([1.0, 2.0, 9.0])) == 4.0  # fewer than four: the mean
    assert stats.iqm(np.array([7.0])) == 7.0


@pytest.mark.parametrize("n", [4, 5, 6, 7, 10, 33])
def test_iqm_is_scipys_trimmed_mean(n):
    scores = GENERATOR.normal(size=(2, n))
    np.testing.assert_allclose(stats.iqm(scores), scipy.stats.trim_mean(scores, 0.25, axis=1))


def test_bootstrap_interval_agrees_with_scipy():
    scores = GENERATOR.normal(10, 3, size=15)
    theirs = scipy.stats.bootstrap(
        (scores,), stats.iqm, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose(stats.bootstrap_interval(scores, resamples=20_000), theirs, atol=0.1)


def test_bootstrap_enumerated():
    # Two scores: the four equally likely resamples have means 0, ½, ½, 1.
    means = stats.bootstrap(np.array([0.0, 1.0]), stats.mean, resamples=40_000)
    np.testing.assert_allclose([(means == x).mean() for x in (0.0, 0.5, 1.0)], [0.25, 0.5, 0.25], atol=0.01)


def test_bootstrap_stays_within_the_task():
    # Tasks on very different scales without any spread inside: a resample over seeds can change nothing.
    constant = np.array([[1.0] * 5, [100.0] * 5])
    assert stats.bootstrap_interval(constant, stats.mean) == (50.5, 50.5)


def test_equal_seed_equal_interval():
    assert stats.bootstrap_interval(TABLE, seed=3) == stats.bootstrap_interval(TABLE, seed=3)
    assert stats.bootstrap_interval(TABLE, seed=3) != stats.bootstrap_interval(TABLE, seed=4)


def test_cutting_the_work_into_parts_keeps_every_resample(monkeypatch):
    monkeypatch.setattr(stats, "CHUNK", 100)
    assert stats.bootstrap(TABLE, resamples=77).shape == (77,)
    assert stats.bootstrap_improvement(TABLE, TABLE, resamples=77).shape == (77,)
    assert 0 < stats.permutation_test(TABLE, TABLE + 1, resamples=77) <= 1


def test_probability_of_improvement_is_mann_whitneys():
    # by hand: pairs (1,2) (1,1) (3,2) (3,1): lose, tie, win, win = 2.5 of 4
    assert stats.probability_of_improvement(np.array([[1, 3]]), np.array([[2, 1]])) == 0.625
    a, b = GENERATOR.integers(0, 5, size=(1, 9)), GENERATOR.integers(0, 5, size=(1, 7))
    statistic = scipy.stats.mannwhitneyu(a[0], b[0]).statistic
    np.testing.assert_allclose(stats.probability_of_improvement(a, b), statistic / 63)
    two_tasks = stats.probability_of_improvement(np.array([[1, 3], [0, 0]]), np.array([[2, 1], [1, 1]]))
    assert two_tasks == (0.625 + 0.0) / 2


def test_bootstrap_improvement_enumerated():
    # A has scores 0 and 2, B always 1: a resample of A is {0,0}, {0,2}, {2,0} or {2,2}.
    values = stats.bootstrap_improvement(np.array([0.0, 2.0]), np.array([1.0, 1.0]), resamples=40_000)
    np.testing.assert_allclose([(values == x).mean() for x in (0.0, 0.5, 1.0)], [0.25, 0.5, 0.25], atol=0.01)


def test_permutation_test_is_mann_whitneys_exact_test():
    for seed in range(4):
        generator = np.random.default_rng(seed)
        a, b = generator.normal(size=6), generator.normal(0.8, size=5)
        exact = scipy.stats.mannwhitneyu(a, b, method="exact").pvalue
        np.testing.assert_allclose(stats.permutation_test(a, b), exact, atol=0.015)


def test_permutation_test_with_ties_by_enumeration():
    a, b = np.array([1.0, 2.0, 2.0, 5.0]), np.array([2.0, 0.0, 1.0])
    pooled = np.concatenate([a, b])

    def distance(chosen):
        rest = [i for i in range(7) if i not in chosen]
        pairs = [(pooled[i] > pooled[j]) + 0.5 * (pooled[i] == pooled[j]) for i in chosen for j in rest]
        return abs(np.mean(pairs) - 0.5)

    splits = [distance(chosen) for chosen in itertools.combinations(range(7), 4)]
    expected = np.mean(np.array(splits) >= distance((0, 1, 2, 3)) - 1e-9)
    np.testing.assert_allclose(stats.permutation_test(a, b), expected, atol=0.015)


def test_permutation_test_keeps_labels_within_the_task():
    # In each task A is above B, but between tasks the scales differ by far more: an unstratified test is not sure.
    a = np.array([[1.1, 1.2, 1.3, 1.4], [101, 102, 103, 104]])
    b = np.array([[0.1, 0.2, 0.3, 0.4], [91, 92, 93, 94]])
    # both tasks must fall on the same extreme split: 2 / C(8, 4)²
    assert stats.permutation_test(a, b) < 3 / math.comb(8, 4) ** 2 + 1e-3
    # as one task A wins 48 of 64 pairs
    exact = scipy.stats.mannwhitneyu(a.reshape(-1), b.reshape(-1), method="exact").pvalue
    assert exact > 0.1
    np.testing.assert_allclose(stats.permutation_test(a.reshape(-1), b.reshape(-1)), exact, atol=0.015)


def test_identical_scores_have_p_one():
    assert stats.permutation_test(np.full(5, 500.0), np.full(5, 500.0)) == 1.0


def test_summarise():
    scores = np.array([1.0, 2.0, 3.0, 4.0, 90.0])
    figures = stats.summarise(scores)
    assert (figures["mean"], figures["median"], figures["iqm"]) == (20.0, 3.0, 3.0)
    assert (figures["min"], figures["max"], figures["seeds"]) == (1.0, 90.0, 5)
    for name in ("mean", "median", "iqm"):
        assert figures[f"{name}_ci"][0] <= figures[name] <= figures[f"{name}_ci"][1]
    assert figures["intervals_meaningful"]
    assert not stats.summarise(scores[:2])["intervals_meaningful"]
    assert stats.summarise(scores[:1])["iqm_ci"] == [1.0, 1.0]


def test_empty_scores_are_refused():
    with pytest.raises(ValueError, match="not empty"):
        stats.summarise(np.array([]))
