"""How sure are we? Robust averages over seeds, bootstrap intervals, and a test that is valid with few seeds.

Scores are ``[N]`` (one per seed) or ``[M, N]`` (tasks × seeds). Sources: Agarwal et al. 2021, "Deep reinforcement
learning at the edge of the statistical precipice" (interquartile mean, stratified bootstrap, probability of
improvement); Mann & Whitney 1947; Fisher 1935 (permutation test).

Departures: the paper declares a difference where the interval of the difference excludes 0. With 3 seeds that finds a
difference between equals in one case of five (5 seeds: up to one of ten), so `permutation_test` stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
FEWEST_SEEDS = 3  # below it an interval says nothing about other seeds
CHUNK = 4_000_000  # numbers in memory at once

Statistic = Callable[[np.ndarray], np.ndarray]
Interval = tuple[float, float]


def iqm(scores: np.ndarray) -> np.ndarray:
    """The interquartile mean along the last axis: the mean without the lowest and the highest ⌊n/4⌋ scores.

    ``[..., n]`` -> ``[...]``. Source: Agarwal et al. 2021, section 4.3; with fewer than 4 scores it is the mean.
    """
    scores = np.sort(np.asarray(scores, np.float64), axis=-1)
    n = scores.shape[-1]
    return scores[..., n // 4 : n - n // 4].mean(axis=-1)


def mean(scores: np.ndarray) -> np.ndarray:
    """The mean along the last axis."""
    return np.mean(scores, axis=-1)


def median(scores: np.ndarray) -> np.ndarray:
    """The median along the last axis."""
    return np.median(scores, axis=-1)


def probability_of_improvement(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The probability that a run of A scores higher than a run of B, ties counting half, averaged over tasks.

    P = mean over tasks of Σ_ij (1[a_i > b_j] + ½ 1[a_i = b_j]) / (N_a N_b).
    ``a [..., M, N_a]``, ``b [..., M, N_b]`` -> ``[...]``. Source: Agarwal et al. 2021, section 4.3.
    """
    a, b = np.asarray(a)[..., :, None], np.asarray(b)[..., None, :]
    return (0.5 * ((a > b).mean(axis=(-1, -2)) + (a >= b).mean(axis=(-1, -2)))).mean(axis=-1)


def bootstrap(scores: np.ndarray, statistic: Statistic = iqm, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """``statistic`` of resampled score tables, ``[resamples]``: within each task seeds are drawn with replacement.

    Raises ValueError for scores that are empty or not ``[N]`` or ``[M, N]``.
    """
    table = _table(scores)
    generator = np.random.default_rng(seed)
    values = [statistic(part.reshape(len(part), -1)) for part in _resample(generator, table, resamples, table.size)]
    return np.concatenate(values)


def interval(values: np.ndarray, level: float = LEVEL) -> Interval:
    """The percentile interval of bootstrapped values ``[resamples]``: (low, high)."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_interval(
    scores: np.ndarray, statistic: Statistic = iqm, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The 95% stratified bootstrap interval of ``statistic``; equal ``seed``, equal interval."""
    return interval(bootstrap(scores, statistic, resamples, seed))


def bootstrap_difference(
    a: np.ndarray, b: np.ndarray, statistic: Statistic = iqm, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """``statistic(A) − statistic(B)`` of independently resampled tables, ``[resamples]``."""
    seed_a, seed_b = np.random.SeedSequence(seed).generate_state(2)
    return bootstrap(a, statistic, resamples, int(seed_a)) - bootstrap(b, statistic, resamples, int(seed_b))


def bootstrap_improvement(a: np.ndarray, b: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """`probability_of_improvement` of independently resampled tables, ``[resamples]``."""
    table_a, table_b = _table(a), _table(b)
    generators = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2)]
    size = len(table_a) * table_a.shape[1] * table_b.shape[1]
    parts_a = _resample(generators[0], table_a, resamples, size)
    parts_b = _resample(generators[1], table_b, resamples, size)
    return np.concatenate([probability_of_improvement(*parts) for parts in zip(parts_a, parts_b, strict=True)])


def permutation_test(a: np.ndarray, b: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """The two-sided p-value of "A and B are the same": how often shuffled labels look at least as different.

    The statistic is |P(A > B) − ½|, labels are shuffled within each task, and the data themselves count as one
    shuffle. Valid with any number of seeds: between equals it is below 0.05 in at most 5% of cases.
    """
    # P(A > B) depends on the scores through their ranks alone, so these are computed once.
    table_a, table_b = _table(a), _table(b)
    num_a, num_b = table_a.shape[1], table_b.shape[1]
    pooled = np.concatenate([table_a, table_b], axis=1)
    above, equal = pooled[:, :, None] > pooled[:, None, :], pooled[:, :, None] == pooled[:, None, :]
    ranks = above.sum(axis=-1) + 0.5 * equal.sum(axis=-1)  # ties share their mean rank; the lowest possible is ½
    generator = np.random.default_rng(seed)
    expected = num_a * (num_a + num_b) / 2

    def distance(ranks: np.ndarray) -> np.ndarray:
        return np.abs((ranks[..., :num_a].sum(axis=-1) - expected).sum(axis=-1))

    # how many shuffles are as extreme as the data?
    observed, extreme, done = distance(ranks), 0, 0
    while done < resamples:
        count = min(resamples - done, max(1, CHUNK // ranks.size))
        shuffled = generator.permuted(np.broadcast_to(ranks, (count, *ranks.shape)), axis=-1)
        extreme += int((distance(shuffled) >= observed - 1e-9).sum())
        done += count
    return (1 + extreme) / (1 + resamples)


def summarise(scores: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """The figures of a score table: mean, median, IQM, each with its 95% interval, spread, and number of scores.

    ``intervals_meaningful`` is False with fewer than 3 seeds: the interval then only spans what was seen.
    """
    table = _table(scores)
    figures: dict[str, Any] = {"seeds": table.shape[1], "intervals_meaningful": table.shape[1] >= FEWEST_SEEDS}
    for statistic in (mean, median, iqm):
        name = statistic.__name__
        figures[name] = float(statistic(table.reshape(-1)))
        figures[f"{name}_ci"] = list(bootstrap_interval(table, statistic, resamples, seed))
    return figures | {"std": float(table.std()), "min": float(table.min()), "max": float(table.max())}


def _table(scores: np.ndarray) -> np.ndarray:
    """``[M, N]``; an array ``[N]`` is one task."""
    table = np.atleast_2d(np.asarray(scores, np.float64))
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"scores have shape {np.shape(scores)}; they must be [seeds] or [tasks, seeds], not empty")
    return table


def _resample(generator: np.random.Generator, table: np.ndarray, resamples: int, size: int) -> Iterator[np.ndarray]:
    """Resampled tables ``[count, M, N]``, ``resamples`` in all, in parts that keep ``size`` numbers each in memory."""
    tasks = np.arange(len(table))[:, None]
    for done in range(0, resamples, step := max(1, CHUNK // size)):
        yield table[tasks, generator.integers(0, table.shape[1], (min(step, resamples - done), *table.shape))]
