"""CartPole: states are real numbers, tables end, networks begin. PPO over ten seeds, held against its relatives."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from puzzlebox.evaluation.compare import compare_runs, number, read, span
from puzzlebox.pictures import figures
from puzzlebox.pictures.film import Film
from puzzlebox.pictures.page import Check, Equation, Picture, Row, Table, Tile
from puzzlebox.pictures.watch import film_run
from puzzlebox.runs.build import build
from puzzlebox.runs.configure import configure
from puzzlebox.runs.directory import Run
from puzzlebox.studies.tour.chapter import Chapter, Context, command, curve_picture, signed
from puzzlebox.training.train import train

WORLD = "CartPole-v1"
RIVALS = {"ppo": "PPO", "reinforce": "REINFORCE", "actor_critic": "actor-critic"}
OTHERS = (
    "Beside them runs a relative: actor-critic does not wait for the end of the episode, and r + γ V(s′) stands for G. "
    "DQN, which learns Q as the tables above did, only that a network holds it, takes a minute: its command is below."
)
QUICK = ("ppo", "reinforce")
SEEDS, MOST_STEPS = 10, 100_000
SOLVED = 475.0  # what Gymnasium calls solved; 500 is the most there is


def cartpole(context: Context) -> Chapter:
    """Trains PPO and its rivals with ten seeds each, evaluates, compares and films."""
    names = QUICK if context.quick else tuple(RIVALS)
    steps = common_steps(names)
    runs = {name: context.folder / name for name in names}
    found = {name: train(name, WORLD, seeds=SEEDS, steps=steps, run=path) for name, path in runs.items()}
    verdicts = {mode: compare_runs(list(runs.values()), mode=mode) for mode in ("greedy", "sampled")}
    scores = {RIVALS[name]: read(Run.open(path), name, "sampled")[0].scores for name, path in runs.items()}
    figures.save(figures.score_intervals(scores, WORLD), context.folder / "scores")
    ppo = found["ppo"]
    film, still, episode = _film(context.folder, runs["ppo"])
    rows = [[RIVALS[name], *_scores(result), f"{result['seconds']:.1f} s"] for name, result in found.items()]
    return Chapter(
        headline=f"PPO {signed(ppo['return_iqm'], 1)} of 500 ({span(ppo['return_ci'])}), {SEEDS} seeds in "
        f"{ppo['seconds']:.0f} s",
        blocks=[
            "A pole stands on a cart; push left or right and keep it up. The state is four real numbers, so no table "
            "can hold it: a neural network takes the table's place, and the policy itself is learned. Every step with "
            "the pole up pays 1, an episode ends after 500.",
            Equation(
                "PPO        L(θ) = E[ min( ρ A, clip(ρ, 1 − ε, 1 + ε) A ) ],   ρ = π(a|s) / π_old(a|s)\n"
                "REINFORCE  L(θ) = E[ log π(a|s) · (G − b(s)) ]",
                "They make actions that went better than expected (A or G − b above 0) more probable. PPO uses each "
                "piece of experience several times, and the clip stops it once a probability has changed by more than "
                "ε = 0.2.",
            ),
            *([] if context.quick else [OTHERS]),
            Row(
                [
                    curve_picture(
                        {RIVALS[name]: path for name, path in runs.items()},
                        context.folder / "curves",
                        WORLD,
                        f"Return per episode while training. Line: interquartile mean of {SEEDS} seeds; band: 95% "
                        f"interval. One lucky seed proves nothing, which is why there are {SEEDS}.",
                    ),
                    Picture(film, "PPO balancing the pole", _caption(episode), still, width=380),
                ]
            ),
            Table(
                ["after training", "return, best actions", "return, sampled actions", f"time for {SEEDS} seeds"],
                rows,
                f"Interquartile mean of {SEEDS} seeds (95% interval), 100 episodes per seed, exploration off or on.",
            ),
            f"Which is better? By their best actions: {verdicts['greedy']['sentence']}",
            f"By actions drawn from the policy, as in training: {verdicts['sampled']['sentence']}",
            Picture(
                context.folder / "scores.svg",
                "Scores with their intervals",
                "Evaluation with sampled actions: a bar is a 95% interval, the line in it the figure itself.",
            ),
        ],
        checks=[
            Check(
                f"PPO solves CartPole: interquartile mean {number(ppo['return_iqm'])}, at least {SOLVED:g} is asked "
                "for",
                ppo["return_iqm"] >= SOLVED,
            ),
        ],
        protocol=f"Our CartPole-v1, which reproduces Gymnasium's step for step; {SEEDS} seeds (0 to {SEEDS - 1}) in "
        f"one compiled program, {steps:,} steps each; evaluation on 100 new episodes per seed; 95% stratified "
        f"bootstrap intervals. Compiling took {sum(f['compile_seconds'] for f in found.values()):.1f} s and is not in "
        "the times above.",
        commands=[
            *(command(name, WORLD, seeds=SEEDS, steps=steps, run=f"runs/{name}") for name in (*names, "dqn")),
            "puzzlebox compare " + " ".join(f"runs/{name}" for name in names),
            "puzzlebox watch runs/ppo",
        ],
        figures={
            **{name: _figures(result) for name, result in found.items()},
            "verdict_greedy": verdicts["greedy"]["sentence"],
            "verdict_sampled": verdicts["sampled"]["sentence"],
        },
        tiles=[
            Tile(signed(ppo["return_iqm"], 1), f"of 500 on CartPole: PPO, {SEEDS} seeds ({span(ppo['return_ci'])})"),
            Tile(f"{ppo['steps_per_second'] / 1000:,.0f} k/s", "environment steps learned from per second, all seeds"),
        ],
    )


def common_steps(names: tuple[str, ...]) -> int:
    """The most steps that are whole iterations of every algorithm, so that all train equally long."""
    sizes = [build(configure(name, WORLD, 1, 0, {"steps": MOST_STEPS})).algorithm.iteration_steps for name in names]
    together = math.lcm(*sizes)
    return MOST_STEPS // together * together or MOST_STEPS


def _scores(found: dict[str, Any]) -> list[str]:
    """IQM and interval, greedy and sampled."""
    return [f"{number(found[m]['return_iqm'])} ({span(found[m]['return_ci'])})" for m in ("greedy", "sampled")]


def _film(folder: Path, path: Path) -> tuple[Path, Path, Any]:
    run = Run.open(path)
    scores = np.array(run.evaluation()["greedy"]["episode_returns"]).mean(axis=1)
    middle = int(np.argsort(scores, kind="stable")[len(scores) // 2])  # a typical seed, not the best one
    film: Film
    film, (episode,), who = film_run(run, agent=middle)
    return film.save(folder / "ppo.gif"), film.still(folder / "ppo.png"), (who["agent"], episode)


def _caption(shown: Any) -> str:
    agent, episode = shown
    return f"Seed {agent}, the median by score: return {number(episode.episode_return)} in {episode.length} steps."


def _figures(found: dict[str, Any]) -> dict[str, Any]:
    names = (
        "seeds",
        "steps",
        "return_mean",
        "return_iqm",
        "return_ci",
        "seconds",
        "compile_seconds",
        "steps_per_second",
    )
    return {name: found[name] for name in names} | {"sampled_return_iqm": found["sampled"]["return_iqm"]}
