"""How sure are we of a proportion, such as that of right answers or of won comparisons?

Intervals are a Bayesian bootstrap (Rubin 1981): problems get random weights, Dirichlet(1, …, 1), beside half a success
and half a failure as a prior. With one agent and yes-or-no answers that is exactly Jeffreys' interval (Brown, Cai &
DasGupta 2001), so nine right answers of nine do not give the interval [1, 1], as plain resampling would.

Departure: agents are weighted too, by Dirichlet(c, …, c) with c = (A − 2)/A, which gives their mean the variance s²/A;
an ordinary bootstrap over 3 agents gives it only two thirds of that.
"""

from __future__ import annotations

import math

import numpy as np

RESAMPLES = 4000
UNSEEN = 0.5  # weight of the prior's success, and of its failure: Jeffreys' prior


def interval(values: np.ndarray, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """The 95% interval of the mean of ``values [A, problems]``, all between 0 and 1; the method is above.

    A counts agents (seeds). ``level`` is the interval's probability; equal ``seed``, equal interval.
    """
    agents, problems, unseen = weights(values.shape[0], values.shape[1], seed)
    means = np.einsum("ra,ap,rp->r", agents, values, problems) + unseen[:, 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def weights(agents: int, problems: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bootstrap's random weights, one row per resample: of agents, of problems, and of the prior (success,
    failure).

    ``[R, A]`` sums to 1; ``[R, problems]`` and ``[R, 2]`` together sum to 1.
    """
    generator = np.random.default_rng(seed)
    shape = np.r_[np.ones(problems), UNSEEN, UNSEEN]
    drawn = generator.dirichlet(shape, RESAMPLES)
    if agents > 2:
        drawn_agents = generator.dirichlet(np.full(agents, (agents - 2) / agents), RESAMPLES)
    else:
        drawn_agents = np.eye(agents)[generator.integers(0, agents, RESAMPLES)]
    return drawn_agents, drawn[:, :problems], drawn[:, problems:]


def pass_at(correct: np.ndarray, k: int) -> float:
    """The chance that at least one of ``k`` completions is right, from ``correct [..., n]`` with n ≥ k samples.

    pass@k = mean over problems of 1 − C(n − c, k) / C(n, k) with c of n right: unbiased, unlike 1 − (1 − c/n)^k.
    Source: Chen et al. 2021, arXiv 2107.03374.
    """
    n = correct.shape[-1]
    right = correct.sum(axis=-1).astype(int).ravel()
    return float(np.mean([1 - math.comb(n - c, k) / math.comb(n, k) for c in right]))
