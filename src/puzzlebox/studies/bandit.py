"""Exploration and exploitation on a bandit: what each way of exploring loses against always pulling the best arm.

Source: Sutton & Barto (2018), chapter 2; Auer, Cesa-Bianchi & Fischer 2002 for UCB1 and the ε that decays as 1/t. Every
run draws its own arms, and all ways of exploring meet the same ones; values are sample means of the rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.algorithms.tabular.action_values import choose, epsilon_soft
from puzzlebox.envs.bandit import Bandit
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields
from puzzlebox.pictures import figures
from puzzlebox.scale import backend
from puzzlebox.stats.intervals import bootstrap_interval, mean
from puzzlebox.types import Array, Key

POINTS = 20  # steps at which the figures are reported
RESAMPLES = 2000  # of the bootstrap


class Strategy(NamedTuple):
    """A way to explore: ε at every step ``[T]``, and the weight of UCB's bonus for rarely pulled arms (0: none)."""

    epsilon: np.ndarray
    bonus: float


def bandit(
    arms: int = 10,
    steps: int = 1000,
    runs: int = 200,
    *,
    epsilons: Sequence[float] = (0.01, 0.1),
    noise: str = "gaussian",
    seed: int = 0,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """The regret of never exploring, of each fixed ε, of ε decaying as 1/t, and of UCB1 as a reference.

    Returns for each label the mean cumulative ``regret`` at the end, its 95% bootstrap interval over runs, the share of
    ``best_arm`` pulls in the last tenth, and the ``curve``: the same at some steps. With ``out`` (a path without
    suffix) it draws the curves and lists the files as ``pictures``. Raises UsageError for values out of range.
    """
    plans = strategies(arms, steps, epsilons)
    regret, best = bandit_regret(arms, steps, runs, plans, noise=noise, seed=seed)
    points = np.unique(np.linspace(0, steps - 1, POINTS + 1).astype(int))[1:] if steps > 1 else np.array([0])
    results = {label: _figures(regret[label], best[label], points) for label in plans}
    pictures: list[Path] = []
    if out is not None:
        title = f"Regret on {arms} {noise} arms"
        pictures = figures.save(figures.regret_curves(regret, title), Path(out))
    setting = {"arms": arms, "steps": steps, "runs": runs, "noise": noise, "seed": seed}
    return setting | {"strategies": results, "pictures": [str(path) for path in pictures]}


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a person: one line for each way of exploring."""
    out = []
    for label, found in figures["strategies"].items():
        low, high = found["regret_ci"]
        interval = f"(95% interval {low:.1f} to {high:.1f})"
        out.append(f"{label:20} regret {found['regret']:7.1f} {interval:32} best arm {found['best_arm']:.0%}")
    return [*out, *figures["pictures"]]


def strategies(arms: int, steps: int, epsilons: Sequence[float]) -> dict[str, Strategy]:
    """Label -> strategy, from no exploration to UCB1. Raises UsageError for an ε outside [0, 1]."""
    for name, value in (("arms", arms), ("steps", steps)):
        if value < 1:
            raise UsageError(f"{name} is {value}; it must be at least 1")
    for epsilon in epsilons:
        if not 0 <= epsilon <= 1:
            raise UsageError(f"epsilon is {epsilon}; it must be between 0 and 1")
    decaying = np.minimum(1.0, arms / np.arange(1, steps + 1))
    plans = {"no exploration": Strategy(np.zeros(steps), 0.0)}
    plans |= {f"ε = {epsilon:g}": Strategy(np.full(steps, epsilon), 0.0) for epsilon in epsilons}
    plans[f"ε decaying, {arms}/t"] = Strategy(decaying, 0.0)
    plans["UCB1"] = Strategy(np.zeros(steps), 1.0)
    return plans


def bandit_regret(
    arms: int, steps: int, runs: int, plans: dict[str, Strategy], *, noise: str = "gaussian", seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Cumulative regret Σ (μ* − μ_a) and whether the best arm was pulled, each label -> ``[runs, T]``.

    All strategies and runs are one compiled program. Source of the regret: Auer et al. 2002, section 1.
    """
    check_fields(Bandit(arms=arms, noise=noise))
    if runs < 1:
        raise UsageError(f"runs is {runs}; it must be at least 1")
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed is {seed}; it must be between 0 and {2**32 - 1}")
    backend.prepare()
    epsilon = jnp.asarray(np.stack([plan.epsilon for plan in plans.values()]), jnp.float32)
    bonus = jnp.asarray([plan.bonus for plan in plans.values()], jnp.float32)
    means_key, play_key = jax.random.split(jax.random.key(seed))
    means = draw_means(means_key, (runs, arms), noise)
    keys = jax.random.split(play_key, (len(plans), runs))

    def pull(means: Array, epsilon: Array, bonus: Array, key: Key) -> tuple[Array, Array]:
        """One run of one strategy."""
        return pull_arms(Bandit(arms=arms, noise=noise, means=means), epsilon, bonus, key)

    # over runs, each with its arms; then over strategies, which all meet the same arms
    every_run = jax.vmap(pull, (0, None, None, 0))
    regret, best = jax.jit(jax.vmap(every_run, (None, 0, 0, 0)))(means, epsilon, bonus, keys)
    return dict(zip(plans, np.asarray(regret), strict=True)), dict(zip(plans, np.asarray(best), strict=True))


def draw_means(key: Key, shape: tuple[int, ...], noise: str) -> Array:
    """The arms of every run: standard normal means, or uniform probabilities for Bernoulli arms."""
    return jax.random.normal(key, shape) if noise == "gaussian" else jax.random.uniform(key, shape)


def pull_arms(env: Bandit, epsilon: Array, bonus: Array, key: Key) -> tuple[Array, Array]:
    """One run: cumulative regret and whether the pulled arm was the best, each ``[T]``.

    ε-greedy in Q(a) + bonus · √(2 ln t / n(a)); ties are broken at random.
    """
    num_arms = env.arm_means.shape[-1]
    choose_key, reward_key = jax.random.split(key)
    time = jnp.arange(1, len(epsilon) + 1)

    def step(carry: tuple[Array, Array], given: Any):
        """One pull: choose an arm, pay, update its sample mean."""
        q, count = carry
        t, epsilon, chance, key = given
        width = jnp.where(count > 0, jnp.sqrt(2.0 * jnp.log(t) / jnp.maximum(count, 1)), jnp.inf)
        arm = choose(epsilon_soft(q + jnp.where(bonus > 0, bonus * width, 0.0), epsilon), chance)
        _, timestep = env.step(jnp.int32(0), arm, key)
        count = count.at[arm].add(1)
        q = q.at[arm].add((timestep.reward - q[arm]) / count[arm])
        regret = env.regret(arm)
        return (q, count), (regret, regret == 0)

    given = (time, epsilon, jax.random.uniform(choose_key, epsilon.shape), jax.random.split(reward_key, len(epsilon)))
    carry = (jnp.zeros(num_arms), jnp.zeros(num_arms, jnp.int32))
    _, (regret, best) = jax.lax.scan(step, carry, given)
    return jnp.cumsum(regret), best


def _figures(regret: np.ndarray, best: np.ndarray, points: np.ndarray) -> dict[str, Any]:
    """The figures of one strategy from ``[runs, T]``; the curve at the steps ``points``."""
    intervals = [bootstrap_interval(regret[:, point], mean, RESAMPLES) for point in points]
    centre = regret[:, points].mean(axis=0, dtype=np.float64)
    last = best[:, -max(1, best.shape[1] // 10) :]
    return {
        "regret": float(centre[-1]),
        "regret_ci": list(intervals[-1]),
        "best_arm": float(last.mean()),
        "curve": {
            "steps": (points + 1).tolist(),
            "regret": centre.tolist(),
            "low": [low for low, _ in intervals],
            "high": [high for _, high in intervals],
        },
    }
