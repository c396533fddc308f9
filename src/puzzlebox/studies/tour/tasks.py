"""Gymnasium's own tasks: solved from their published transitions, learned without them, checked in their simulator."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import gymnasium
import numpy as np

from puzzlebox.algorithms.tabular.exact import Solution, policy_process
from puzzlebox.algorithms.tabular.value_iteration import value_iteration
from puzzlebox.envs import make_tabular
from puzzlebox.envs.gymnasium_names import find
from puzzlebox.errors import UsageError
from puzzlebox.evaluation.compare import number, span
from puzzlebox.pictures.page import Check, Equation, Picture, Row, Table, Tile
from puzzlebox.pictures.watch import film_run
from puzzlebox.stats.intervals import bootstrap_interval, mean
from puzzlebox.studies.tour.chapter import Chapter, Context, command, trained
from puzzlebox.training.train import train
from puzzlebox.types import MDP

SEEDS, DISCOUNT = 10, 0.99
STEPS = {"FrozenLake-v1": 500_000, "FrozenLake8x8-v1": 2_000_000, "Taxi": 500_000}
ENOUGH = 0.95  # of the exact policy's return counts as learned
SURE = 4.0  # standard errors that chance hardly ever exceeds


class Task(NamedTuple):
    """What was found about one task; ``played`` are returns in Gymnasium's simulator, ``[episodes]`` and "
    "``[seeds]``."""

    name: str
    mdp: MDP
    solution: Solution
    expected: float
    played: np.ndarray
    learned_expected: np.ndarray
    learned_played: np.ndarray


def tasks(context: Context) -> Chapter:
    """FrozenLake (4×4 and 8×8) and Taxi."""
    episodes = 500 if context.quick else 2000
    found = [_task(context, name, steps, episodes) for name, steps in STEPS.items()]
    rows = []
    for task in found:
        low, high = bootstrap_interval(task.played, mean)
        learned_low, learned_high = bootstrap_interval(task.learned_played, mean)
        rows += [
            [f"{task.name}: solved", number(task.expected), number(task.played.mean()), span([low, high])],
            [
                f"{task.name}: learned",
                number(task.learned_expected.mean()),
                number(task.learned_played.mean()),
                span([learned_low, learned_high]),
            ],
        ]
    films = [_film(context.folder, task.name) for task in found[1:]]
    taxi = found[-1].name
    worst = min(found, key=lambda task: _ratio(task))
    return Chapter(
        headline=", ".join(f"{t.name} {number(t.learned_played.mean())} of {number(t.played.mean())}" for t in found),
        blocks=[
            f"Everything so far happened in our own worlds. These tasks are Gymnasium's: FrozenLake (cross the ice; "
            f"every move goes astray two times in three; +1 for the goal, nothing else) and {taxi} (fetch a passenger "
            f"and bring him to his hotel: +20, −1 per step, −10 for a wrong pick-up). Gymnasium publishes their "
            f"transitions, so they can be solved exactly. The same tasks are then learned by Q-learning, which does "
            "not look at them.",
            Equation(
                "Q*(s, a) = Σₛ′ T(s, a, s′) · [ R(s, a, s′) + γ maxₐ′ Q*(s′, a′) ]",
                f"Value iteration solves this with the published T. Q-learning reaches it from experience. γ = "
                f"{DISCOUNT}.",
            ),
            "The proof is in the playing: both policies are played in Gymnasium's own simulator, and what they earn "
            "there is held against what the mathematics expects, time limit included. On FrozenLake the return of an "
            "episode is 1 or 0, so its mean is the share of crossings that succeed.",
            Table(
                ["task", "expected return, exact", "played in Gymnasium", "95% interval"],
                rows,
                f"Return per episode. Solved: {episodes:,} episodes. Learned: {SEEDS} seeds with {episodes // SEEDS} "
                f"episodes each, interval over seeds.",
            ),
            *[film for film in films if isinstance(film, str)],
            Row([film for film in films if isinstance(film, Picture)]),
        ],
        checks=[
            *[
                Check(
                    f"{t.name}: {len(t.played):,} episodes in Gymnasium's simulator agree with the exact expectation "
                    f"({number(t.played.mean())} against {number(t.expected)})",
                    _agrees(t),
                )
                for t in found
            ],
            Check(
                f"Q-learning gets at least {ENOUGH:.0%} of the solved policy's return in every task "
                f"(least: {_ratio(worst):.1%}, {worst.name})",
                _ratio(worst) >= ENOUGH,
            ),
        ],
        protocol=f"Gymnasium {gymnasium.__version__}, its time limits included. Q-learning: {SEEDS} seeds of each "
        f"task, steps as in the commands below, γ = {DISCOUNT}; played greedily. 95% bootstrap intervals of the mean.",
        commands=[
            line
            for task, steps in zip(found, STEPS.values(), strict=True)
            for line in (
                f"puzzlebox solve gym:{task.name} --gamma {DISCOUNT} --method value_iteration",
                command("q_learning", f"gym:{task.name}", seeds=SEEDS, steps=steps),
            )
        ],
        figures={
            task.name: {
                "states": len(task.solution.values),
                "value_iteration_seconds": task.solution.seconds,
                "start_value": float(task.mdp.start @ task.solution.values),
                "expected_return": task.expected,
                "played_return": float(task.played.mean()),
                "played_return_ci": list(bootstrap_interval(task.played, mean)),
                "learned_expected_return": float(task.learned_expected.mean()),
                "learned_played_return": float(task.learned_played.mean()),
                "learned_played_return_ci": list(bootstrap_interval(task.learned_played, mean)),
            }
            for task in found
        },
        tiles=[
            Tile(
                f"{found[1].learned_played.mean():.0%}", f"of {found[1].name} crossed by Q-learning in Gymnasium itself"
            ),
            Tile(number(found[-1].learned_played.mean()), f"mean return of Q-learning on {taxi}"),
        ],
    )


def play_policy(name: str, policy: np.ndarray, episodes: int, seed: int) -> np.ndarray:
    """Returns of whole episodes of a policy int [S] in Gymnasium's own simulator, ``[episodes]``."""
    env = gymnasium.make(name, disable_env_checker=True)
    actions = policy.tolist()
    returns = np.zeros(episodes)
    observation, _ = env.reset(seed=seed)
    for i in range(episodes):
        done = False
        while not done:
            observation, reward, terminated, truncated, _ = env.step(actions[observation])
            returns[i] += reward
            done = terminated or truncated
        observation, _ = env.reset()
    env.close()
    return returns


def expected_return(mdp: MDP, policy: np.ndarray, time_limit: int) -> float:
    """E[Σ r] of an episode cut off after ``time_limit`` steps, exactly: v ← R_π + P_π v, so often."""
    reward, transition = policy_process(mdp, policy)
    values = np.zeros(len(reward))
    for _ in range(time_limit):
        values = reward + transition @ values
    return float(np.asarray(mdp.start) @ values)


def _task(context: Context, name: str, steps: int, episodes: int) -> Task:
    name = find(name).id
    context.note(f"{name}: solving, learning and playing")
    world = make_tabular(f"gym:{name}")
    mdp, limit = world.mdp(), world.time_limit
    solution = value_iteration(mdp, DISCOUNT)
    path = context.folder / name
    train("q_learning", f"gym:{name}", seeds=SEEDS, steps=steps, run=path, episodes=20, quiet=True)
    _, _, state = trained(path)
    policies = np.asarray(state.values.q).argmax(-1)
    each = episodes // SEEDS
    return Task(
        name,
        mdp,
        solution,
        expected_return(mdp, solution.policy, limit),
        play_policy(name, solution.policy, episodes, seed=0),
        np.array([expected_return(mdp, policy, limit) for policy in policies]),
        np.array([play_policy(name, policy, each, seed=1 + i).mean() for i, policy in enumerate(policies)]),
    )


def _agrees(task: Task) -> bool:
    error = max(task.played.std() / np.sqrt(len(task.played)), 1e-9)
    return bool(abs(task.played.mean() - task.expected) <= SURE * error)


def _ratio(task: Task) -> float:
    """The learned policies' exact return as a share of the solved one's; both are positive in these tasks."""
    return float(task.learned_expected.mean() / task.expected)


def _film(folder: Path, name: str) -> Picture | str:
    """An episode in Gymnasium's own pictures, or why there is none."""
    run, _, _ = trained(folder / name)
    try:
        film, (episode,), _ = film_run(run)
    except UsageError as error:
        return f"There is no film of {name} here: {error}."
    file, still = film.save(folder / f"{name}.gif"), film.still(folder / f"{name}.png")
    ended = {"terminated": "the task ended", "truncated": "time was up"}.get(episode.ended, "cut off")
    return Picture(
        file,
        f"One episode of {name} played by Q-learning",
        f"One episode of seed 0, in Gymnasium's own pictures: return {number(episode.episode_return)} in "
        f"{episode.length} steps ({ended}).",
        still,
        width=380,
    )
