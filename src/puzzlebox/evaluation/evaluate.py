"""Evaluation of whatever was trained. How it is done depends on the agents and the world, and is chosen only here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from puzzlebox.data.text_worlds import skipping_bad
from puzzlebox.errors import UsageError
from puzzlebox.evaluation.game_evaluation import evaluate_game
from puzzlebox.evaluation.language_evaluation import evaluate_language, evaluate_model
from puzzlebox.evaluation.subjects import check_only_for_language, writes
from puzzlebox.evaluation.world_evaluation import evaluate_worlds
from puzzlebox.runs import checkpoint
from puzzlebox.runs.agents import Agents
from puzzlebox.runs.directory import Run
from puzzlebox.runs.language_agents import LanguageAgents
from puzzlebox.runs.protocol import EPISODES, default_episodes
from puzzlebox.scale import backend
from puzzlebox.types import Game, State, Trainee


def evaluate(
    run: str | Path,
    *,
    episodes: int | None = None,
    seed: int = 0,
    task: str = "",
    skip_bad: bool = False,
    shots: int = 0,
    samples: int = 1,
    temperature: float | None = None,
    text: str | Path = "",
) -> dict[str, Any]:
    """Evaluates the newest checkpoint of a run, greedily and sampled, or a language model; writes ``evaluation.json``.

    ``return_mean``, ``return_iqm`` and ``return_ci`` (95% bootstrap) are over agents, each agent's score being its mean
    greedy return; ``sampled`` holds the same for actions drawn from the policy. In a swept run they are over all
    agents, and ``table`` has them for every combination of values. Where the world measures more than its reward,
    ``measures`` has the means over all episodes, and ``success_rate`` the share that reached the goal.

    What follows ``seed`` is for language models, see `evaluate_model`; ``episodes`` are then problems, and ``skip_bad``
    leaves the broken rows of a file ``task`` out.
    """
    from puzzlebox.runs.build import build_run

    task = skipping_bad(task) if skip_bad else task
    if episodes is not None and episodes < 1:
        raise UsageError(f"episodes is {episodes}; it must be at least 1")
    backend.prepare()

    # a language model, or a run of one
    if writes(run):
        return evaluate_model(
            run,
            task=task,
            shots=shots,
            samples=samples,
            temperature=temperature,
            text=text,
            problems=episodes or EPISODES,
            seed=seed,
        )

    # agents of a run
    asked = {"task": task != "", "shots": shots != 0, "samples": samples != 1, "temperature": temperature is not None}
    check_only_for_language(run, asked | {"text": text != ""})
    opened = Run.open(run)
    agents = build_run(opened)
    state, progress, notes = checkpoint.load_newest(opened.checkpoints, agents.shapes())
    episodes = episodes or default_episodes(agents.algorithm.env)
    return evaluate_agents(opened, agents, state, progress["steps"], episodes=episodes, seed=seed) | {"notes": notes}


def evaluate_agents(run: Run, agents: Trainee, state: State, steps: int, *, episodes: int, seed: int) -> dict[str, Any]:
    """Evaluates agents in memory, each kind in its way; writes ``evaluation.json`` and returns its figures.

    Language models answer problems, players of games meet opponents, everyone else plays whole episodes.
    """
    if isinstance(agents, LanguageAgents):
        return evaluate_language(run, agents, state, steps, problems=episodes, seed=seed)
    assert isinstance(agents, Agents)
    of_its_kind = evaluate_game if isinstance(agents.algorithm.env, Game) else evaluate_worlds
    return of_its_kind(run, agents, state, steps, episodes=episodes, seed=seed)
