"""Does A beat B? Evaluated runs held against each other, with a plain sentence.

The rule: A beats B when the 95% bootstrap interval of IQM(A) − IQM(B) lies above 0, the probability of improvement is
above ½, the permutation test gives p < 0.05 (with more than two contestants, p after Holm's correction over all pairs),
and both have at least 3 seeds. Otherwise they cannot be told apart. Between equals the rule says "beats" in at most 5%
of cases, whatever the distribution and however few the seeds; tests/evaluation/test_compare.py measures it. Equal
numbers of seeds matter when the spreads differ: 20 seeds against 5 with a five times wider spread, it says so in about
11%.

Sources: `stats.intervals`; Holm 1979. Departure: "cannot be told apart" is no claim that the two are equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from puzzlebox.errors import UsageError
from puzzlebox.runs.directory import Run
from puzzlebox.stats import intervals as statistics

SIGNIFICANCE = 0.05
ROUNDED = 0.05  # lengths closer than this are the same number of steps, cut to whole iterations


class Contestant(NamedTuple):
    """One algorithm with one setting: ``scores [N]``, one mean evaluation return per seed."""

    label: str
    run: Run
    setting: dict[str, float]
    scores: np.ndarray


def compare_runs(runs: Sequence[str | Path], *, mode: str = "greedy", seed: int = 0) -> dict[str, Any]:
    """Holds runs (and the settings of swept ones) against each other by their last evaluation.

    ``mode``: "greedy" or "sampled" actions. Returns the contestants, best first, every pair, and ``sentence``.
    Raises UsageError for fewer than two contestants, runs not evaluated, and different worlds or protocols.
    """
    opened = [Run.open(run) for run in runs]
    check_comparable(opened)
    contestants = [c for run, name in zip(opened, names(opened), strict=True) for c in read(run, name, mode)]
    if len(contestants) < 2:
        raise UsageError(f"{runs[0] if runs else 'nothing'} has one agent setting; compare needs another run directory")
    contestants.sort(key=lambda c: float(statistics.iqm(c.scores)), reverse=True)
    pairs = judge(contestants, seed)
    result = {
        "env": opened[0].config["env"],
        "mode": mode,
        "episodes": opened[0].evaluation()["episodes"],
        "contestants": [describe(c) for c in contestants],
        "pairs": pairs,
        "notes": notes(contestants),
    }
    return result | {"sentence": sentence(result)}


def groups(config: dict[str, Any]) -> list[tuple[dict[str, float], list[int]]]:
    """The settings of a run and which agents have each: one group, or one per combination of swept values."""
    found: dict[tuple[float, ...], list[int]] = {}
    for i, agent in enumerate(config["agents"]):
        found.setdefault(tuple(agent[name] for name in config["sweep"]), []).append(i)
    return [(dict(zip(config["sweep"], values, strict=True)), agents) for values, agents in found.items()]


def names(runs: list[Run]) -> list[str]:
    """What to call each run: its algorithm, with the directory where two have the same, and a number if need be."""
    labels = [run.config["algorithm"] for run in runs]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({run.path.name or run.path})" for label, run in zip(labels, runs, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label} #{i}" for i, label in enumerate(labels, 1)]
    return labels


def setting_label(setting: dict[str, float]) -> str:
    """For people: ``learning rate 0.0003, clip 0.2``."""
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in setting.items())


def check_comparable(runs: list[Run]) -> None:
    """Raises UsageError unless the runs had the same world, the same protocol and equally long evaluations."""
    for run in runs[1:]:
        for key, what in (("env", "worlds"), ("protocol", "protocols")):
            values = runs[0].config.get(key), run.config.get(key)
            if values[0] != values[1]:
                raise UsageError(
                    f"{runs[0].path} and {run.path} have different {what}: {values[0]} and {values[1]}; "
                    f"compare runs of one world under one protocol"
                )
        episodes = runs[0].evaluation().get("episodes"), run.evaluation().get("episodes")
        if episodes[0] != episodes[1]:
            raise UsageError(
                f"{runs[0].path} was evaluated over {episodes[0]} episodes, {run.path} over {episodes[1]}; "
                f"evaluate both alike: puzzlebox evaluate {run.path} --episodes {episodes[0]}"
            )


def read(run: Run, name: str, mode: str) -> list[Contestant]:
    """The contestants of one run."""
    if mode not in ("greedy", "sampled"):
        raise UsageError(f"mode is '{mode}'; choose one of: greedy, sampled")
    try:
        returns = np.array(run.evaluation()[mode]["episode_returns"], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{run.path / 'evaluation.json'} holds no {mode} returns; write it again: puzzlebox evaluate {run.path}"
        ) from error
    if returns.ndim != 2 or len(returns) != len(run.config["agents"]) or not np.isfinite(returns).all():
        raise UsageError(
            f"{run.path / 'evaluation.json'} must hold finite returns of {len(run.config['agents'])} agents; "
            f"write it again: puzzlebox evaluate {run.path}"
        )
    scores = returns.mean(axis=1)
    return [
        Contestant(f"{name}, {setting_label(setting)}" if setting else name, run, setting, scores[agents])
        for setting, agents in groups(run.config)
    ]


def describe(contestant: Contestant) -> dict[str, Any]:
    figures = statistics.summarise(contestant.scores)
    config = contestant.run.config
    return {
        "label": contestant.label,
        "run": str(contestant.run.path),
        "algorithm": config["algorithm"],
        "setting": contestant.setting,
        "seeds": len(contestant.scores),
        "steps": trained_steps(contestant),
        "return_mean": figures["mean"],
        "return_iqm": figures["iqm"],
        "return_ci": figures["iqm_ci"],
        "returns": contestant.scores.tolist(),
    }


def judge(contestants: list[Contestant], seed: int) -> list[dict[str, Any]]:
    """Every pair, the one with the higher IQM first: difference, probability of improvement, p and verdict."""
    chosen = [(a, b) for i, a in enumerate(contestants) for b in contestants[i + 1 :]]
    corrected = holm([statistics.permutation_test(a.scores, b.scores, seed=seed) for a, b in chosen])
    return [verdict(a, b, p, seed) for (a, b), p in zip(chosen, corrected, strict=True)]


def verdict(a: Contestant, b: Contestant, p_value: float, seed: int) -> dict[str, Any]:
    """One pair by the rule above, ``a`` having the higher IQM; ``winner`` is its label or None."""
    difference = float(statistics.iqm(a.scores) - statistics.iqm(b.scores))
    low, high = statistics.interval(statistics.bootstrap_difference(a.scores, b.scores, seed=seed))
    improvement = float(statistics.probability_of_improvement(a.scores[None], b.scores[None]))
    improvement_ci = statistics.interval(statistics.bootstrap_improvement(a.scores, b.scores, seed=seed))
    enough = min(len(a.scores), len(b.scores)) >= statistics.FEWEST_SEEDS
    sure = enough and low > 0 and improvement > 0.5 and p_value < SIGNIFICANCE
    return {
        "a": a.label,
        "b": b.label,
        "difference": difference,
        "difference_ci": [low, high],
        "probability_of_improvement": improvement,
        "probability_of_improvement_ci": list(improvement_ci),
        "p_value": p_value,
        "winner": a.label if sure else None,
    }


def holm(p_values: list[float]) -> list[float]:
    """p-values corrected for their number: the chance of even one false "beats" stays below 5%. Source: Holm 1979."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def notes(contestants: list[Contestant]) -> list[str]:
    """What a reader must know to judge the figures."""
    found = []
    fewest = min(len(c.scores) for c in contestants)
    if fewest < statistics.FEWEST_SEEDS:
        found.append(
            f"with {fewest} seed{'s' * (fewest > 1)} an interval is not meaningful; train at least 5, better 10"
        )
    pairs = math.comb(len(contestants), 2)
    smaller, larger = sorted(len(c.scores) for c in contestants)[-2:]
    if 2 * pairs / math.comb(smaller + larger, smaller) >= SIGNIFICANCE:
        found.append(f"so few seeds cannot show any difference between {len(contestants)} contestants; train more")
    steps = sorted({trained_steps(c) for c in contestants})
    if steps[-1] - steps[0] > ROUNDED * steps[-1]:
        found.append(f"they were not trained equally long: {' and '.join(f'{s:,}' for s in steps)} steps")
    return found


def trained_steps(contestant: Contestant) -> int:
    return contestant.run.evaluation().get("steps", contestant.run.config["steps"])


def sentence(result: dict[str, Any]) -> str:
    """The outcome in words: of the one pair, or of the best contestant against each other one."""
    best = result["contestants"][0]["label"]
    pairs = [pair for pair in result["pairs"] if best in (pair["a"], pair["b"])]
    by_label = {c["label"]: c for c in result["contestants"]}
    if len(pairs) == 1:
        pair = pairs[0]
        text = f"{pair_words(pair)} on {result['env']}: {pair_figures(pair, by_label)}."
    else:
        beaten = [pair["b"] for pair in pairs if pair["winner"] == best]
        others = [pair["b"] for pair in pairs if pair["winner"] != best]
        parts = [f"beats {listing(beaten)}"] * bool(beaten) + [f"cannot be told apart from {listing(others)}"] * bool(
            others
        )
        figures = "; ".join(f"{c['label']} {spread(c)}" for c in result["contestants"])
        highest = f"{best} has the highest interquartile mean (IQM) on {result['env']}"
        text = f"{highest}; it {' and '.join(parts)}. IQM: {figures}."
    return " ".join([text, *(note[0].upper() + note[1:] + "." for note in result["notes"])])


def pair_words(pair: dict[str, Any]) -> str:
    if pair["winner"]:
        return f"{pair['a']} beats {pair['b']}"
    return f"{pair['a']} and {pair['b']} cannot be told apart"


def pair_figures(pair: dict[str, Any], by_label: dict[str, Any]) -> str:
    a, b = by_label[pair["a"]], by_label[pair["b"]]
    improvement = " to ".join(f"{p:.2f}" for p in pair["probability_of_improvement_ci"])
    return (
        f"interquartile mean (IQM) {spread(a)} against {spread(b)}; "
        f"difference {number(pair['difference'])} ({span(pair['difference_ci'])}), "
        f"probability that a run of {pair['a']} is better {pair['probability_of_improvement']:.2f} ({improvement}), "
        f"p = {pair['p_value']:.2g} (95% intervals, {a['seeds']} and {b['seeds']} seeds)"
    )


def spread(contestant: dict[str, Any]) -> str:
    return f"{number(contestant['return_iqm'])} ({span(contestant['return_ci'])})"


def span(ci: list[float]) -> str:
    return f"{number(ci[0])} to {number(ci[1])}"


def number(x: float) -> str:
    """Three or four digits that a reader can use: 12,345, 476.2, 0.0313, −85.2."""
    text = f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.3g}"
    return text.replace("-", "−")


def listing(labels: list[str]) -> str:
    separator = "; " if any("," in label for label in labels) else ", "
    return separator.join(labels)
