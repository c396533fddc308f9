"""Elo ratings with intervals, from wins, draws and losses.

Model: A scores against B, a draw counting half, σ((R_A − R_B) ln 10 / 400) of a point per game: 400 points are odds of
10 to 1. The ratings R are the maximum-likelihood ones of all pairs together (Bradley & Terry 1952; Elo 1978), with mean
zero; where only two played, their difference is simply 400 log₁₀(s / (1 − s)) of the score s.

Intervals: a pair's true probabilities of a win, a draw and a loss are unknown; given its record, they have the
posterior Dirichlet(wins + ½, draws + ½, losses + ½) (Jeffreys' prior). Ratings are fitted to samples from it, and the
interval holds 95% of them. Why not the more usual ways? The curvature of the likelihood counts a draw as half a win and
half a loss, so its interval is too wide where most games are drawn; resampling the games gives a player that never lost
an interval of width zero around infinity. The rating itself is fitted to the mean of that posterior, so that it is
finite: 1,000 wins of 1,000 are about +1250, with an interval that reaches far above.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from puzzlebox.stats.intervals import LEVEL

SCALE = 400 / np.log(10)  # Elo points per unit of log-odds
PRIOR = 0.5  # Jeffreys' prior of three outcomes
SAMPLES = 2000
NEWTON_STEPS = 50
WEAKEST_CURVATURE = 1e-12


class Ratings(NamedTuple):
    """``elo [P]`` with mean zero, its interval ``low, high [P]``, and ``difference[i, j]`` = (R_i − R_j, low, high)."""

    elo: np.ndarray
    low: np.ndarray
    high: np.ndarray
    difference: np.ndarray  # [P, P, 3]


def rate(wins: np.ndarray, draws: np.ndarray, samples: int = SAMPLES, seed: int = 0) -> Ratings:
    """The ratings of ``P`` players, in Elo points. ``wins [P, P]``: games that i won against j; ``draws [P, P]``.

    ``draws`` is symmetric. Pairs that never met contribute nothing; equal ``seed``, equal intervals. Raises ValueError
    unless every player is linked to every other by games.
    """
    wins, draws = np.asarray(wins, np.float64), np.asarray(draws, np.float64)
    games = wins + draws + wins.T
    if not _linked(games > 0):
        raise ValueError("the players fall into groups that never met; they have no common scale")
    # the pairs that met, and their results
    first, second = np.triu_indices(len(wins), 1)
    met = games[first, second] > 0
    first, second = first[met], second[met]
    outcomes = np.stack([wins[first, second], draws[first, second], wins[second, first]], -1) + PRIOR  # [M, 3]
    count = games[first, second]

    # ratings of the posterior's mean (row 0), and of samples from it
    generator = np.random.default_rng(seed)
    chances = np.stack([generator.dirichlet(row, samples) for row in outcomes], 1)  # [samples, M, 3]
    mean = outcomes / outcomes.sum(-1, keepdims=True)
    shares = np.concatenate([mean[None], chances]) @ np.array([1.0, 0.5, 0.0])
    elo = fit(first, second, shares, count, len(wins))
    gaps = elo[:, :, None] - elo[:, None, :]
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(elo[1:], tails, axis=0)
    return Ratings(elo[0], low, high, np.stack([gaps[0], *np.quantile(gaps[1:], tails, axis=0)], -1))


def fit(first: np.ndarray, second: np.ndarray, shares: np.ndarray, count: np.ndarray, players: int) -> np.ndarray:
    """Maximum-likelihood ratings with mean zero, ``[R, players]``, for ``R`` tables of results at once.

    Maximises Σ_m count_m [s_m log p_m + (1 − s_m) log(1 − p_m)] with p = σ(x_first − x_second) by Newton's method; the
    likelihood is concave. ``first, second, count`` [M], ``shares`` [R, M]: the score of ``first`` per game.
    """
    shares = np.clip(shares, 1e-12, 1 - 1e-12)
    design = np.zeros((len(first), players))
    design[np.arange(len(first)), first], design[np.arange(len(first)), second] = 1.0, -1.0
    x = np.zeros((len(shares), players))
    centre = np.ones((players, players)) / players  # makes the curvature regular, and its solution has mean zero
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-x @ design.T))
        gradient = (count * (shares - p)) @ design
        curvature = np.maximum(count * p * (1 - p), WEAKEST_CURVATURE)
        hessian = np.einsum("rm,mi,mj->rij", curvature, design, design)
        step = np.linalg.solve(hessian + centre, gradient[..., None])[..., 0]
        x = x + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    return SCALE * x


def _linked(met: np.ndarray) -> bool:
    """Whether the players form one group."""
    reached = np.eye(len(met), dtype=bool)[0]
    for _ in range(len(met)):
        reached = reached | met[reached].any(0)
    return bool(reached.all())
