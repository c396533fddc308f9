"""Evaluation of agents that play games: each meets the random player, and the perfect one where there is one.

The agent plays as in the arena: with its search, without noise. It begins half of the games. Its ``return`` is the mean
outcome against the random player, 1 for a win and −1 for a loss; in a game for one player it is the reward earned.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import jax
import numpy as np

from puzzlebox.errors import UsageError
from puzzlebox.play.agreement import agreement, mean
from puzzlebox.play.agreement import words as agreement_words
from puzzlebox.play.arena import named, words
from puzzlebox.play.match import Boards, Record, play_match
from puzzlebox.play.players import Perfect, Player, Random, Searcher
from puzzlebox.runs.agents import Agents
from puzzlebox.runs.directory import Run, write_json
from puzzlebox.runs.trained import Trained, only
from puzzlebox.stats.intervals import summarise
from puzzlebox.types import State


def evaluate_game(run: Run, agents: Agents, state: State, steps: int, *, episodes: int, seed: int) -> dict[str, Any]:
    """Every agent plays ``episodes`` games (rounded up to an even number) against each opponent, or alone.

    Writes ``evaluation.json`` and returns the figures: those that every run has, and ``against`` with games won, drawn
    and lost by all agents together, from each side; in Connect 4 also ``held_positions``, see `agreement`.
    """
    # play: every agent against every opponent, from both sides
    config = run.config
    boards = Boards(agents.algorithm.env)
    half = -(-episodes // 2)
    players = searchers(config, agents, state, steps)
    rivals = opponents(boards)
    matches: dict[str, list[tuple[Record, Record]]] = {}  # per opponent, one pair of records per agent
    for i, rival in enumerate(rivals or [None]):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), i), 2)
        matches[rival.name if rival else "nobody"] = [
            (
                play_match(boards, player, rival or player, half, keys[0]),
                play_match(boards, rival or player, player, half, keys[1]),
            )
            for player in players
        ]

    # score
    sign = -1 if rivals else 1  # the second record is the opponent's, where there is one
    headline = next(iter(matches.values()))
    outcomes = np.array([first.outcomes + [sign * x for x in second.outcomes] for first, second in headline])
    lengths = [first.lengths + second.lengths for first, second in headline]
    greedy = {"episode_returns": outcomes.tolist(), "episode_lengths": lengths, "episodes_cut": 0}

    # save and summarise
    record = {"steps": steps, "episodes": 2 * half, "seed": seed, "greedy": greedy}
    against = {rival.name: totals(matches[rival.name]) for rival in rivals}
    held = mean([agreement(player, boards.game, jax.random.key(seed)) for player in players])
    held = {"held_positions": held} if held else {}
    write_json(run.path / "evaluation.json", record | {"against": against} | held)
    summary = summarise(outcomes.mean(1))
    return {
        "algorithm": config["algorithm"],
        "env": config["env"],
        "seeds": config["seeds"],
        "steps": steps,
        "return_mean": summary["mean"],
        "return_iqm": summary["iqm"],
        "return_ci": summary["iqm_ci"],
        "intervals_meaningful": summary["intervals_meaningful"],
        "returns": outcomes.mean(1).tolist(),
        "agents": agents.num_agents,
        "episodes": 2 * half,
        "length_mean": float(np.mean(lengths)),
        "run": str(run.path),
        "against": against,
    } | held


def opponents(boards: Boards) -> list[Player]:
    """Whom an agent is measured against; nobody in a game for one."""
    if boards.game.num_players == 1:
        return []
    with suppress(UsageError):  # the game has no perfect player, or it is not installed
        return [Random(), Perfect(boards.game)]
    return [Random()]


def totals(matches: list[tuple[Record, Record]]) -> dict[str, Any]:
    """Games won, drawn and lost by all agents together from each side, and every agent's mean outcome."""
    first, second = (np.array([pair[i].counts() for pair in matches]) for i in (0, 1))
    second = second[:, ::-1]
    mean = ((first + second) @ np.array([1, 0, -1])) / (first + second).sum(1)
    return {
        "as_first": named(tuple(first.sum(0).tolist())),
        "as_second": named(tuple(second.sum(0).tolist())),
        "mean_outcome": mean.tolist(),
    }


def searchers(config: dict[str, Any], agents: Agents, state: State, steps: int) -> list[Searcher]:
    """The agents of a run as players; those with the same hyper-parameters share one compiled search."""
    players: list[Searcher] = []
    for agent in range(agents.num_agents):
        algorithm: Any = agents.one(agent)
        own = only(algorithm, jax.tree.map(lambda leaf, i=agent: leaf[i], state))
        if players and not agents.swept:
            players.append(players[0].as_if(own))
        else:
            name = f"{config['algorithm']} {agent}"
            players.append(Searcher(name, Trained(config, algorithm, own, steps), algorithm.num_simulations))
    return players


def game_lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a person."""
    out = [
        f"against {name:8} beginning: {words(row['as_first'])}; second: {words(row['as_second'])}"
        for name, row in figures["against"].items()
    ]
    out += [agreement_words(figures["held_positions"])] if "held_positions" in figures else []
    return out or [f"return IQM {figures['return_iqm']:.1f}, mean {figures['return_mean']:.1f}"]
