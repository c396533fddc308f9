"""Learning the same maze without its rules: Q-learning and SARSA by trial and error, Dyna-Q with a model of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from puzzlebox.algorithms.tabular.exact import Solution, check_policy
from puzzlebox.algorithms.tabular.policy_iteration import policy_iteration
from puzzlebox.pictures import figures, grid_pictures
from puzzlebox.pictures.page import Check, Equation, Picture, Row, Tile
from puzzlebox.pictures.plots import save_curves
from puzzlebox.stats.intervals import bootstrap_interval, mean
from puzzlebox.studies.tour.chapter import (
    Chapter,
    Context,
    command,
    curve_picture,
    free_cells,
    grid,
    signed,
    tiny,
    trained,
)
from puzzlebox.training.train import train
from puzzlebox.types import MDP, Layout

WORLD, MAZE = "grid/robot", "grid/maze"
LABELS = {"q_learning": "Q-learning", "sarsa": "SARSA"}
SEEDS, STEPS, POINTS = 10, 300_000, 40
CLOSE = 0.05  # a learned value this near to the exact one has reached it; rewards go up to 100


def learning(context: Context) -> Chapter:
    """Trains on ``grid/robot`` and ``grid/maze``, and holds what was learned against the exact solution."""
    runs = {name: context.folder / name for name in LABELS}
    for name, path in runs.items():
        train(name, WORLD, seeds=SEEDS, steps=STEPS, discount=1.0, run=path, episodes=20, quiet=True)
    mdp, layout = grid(WORLD)
    free = free_cells(layout.rows)
    best = policy_iteration(mdp, 1.0)
    curves = {name: _error_curve(LABELS[name], path, best, free) for name, path in runs.items()}
    last = {name: curve.scores[-1] for name, curve in curves.items()}
    q_values = {name: np.asarray(trained(path)[2].values.q, np.float64) for name, path in runs.items()}
    exact = float(mdp.start @ best.values)
    returns = {name: exact - _losses(mdp, tables, best) for name, tables in q_values.items()}
    share = {name: mean(values) / exact for name, values in returns.items()}
    maze_blocks, maze_figures, maze_checks = _maze(context.folder)
    detours = _different(q_values["sarsa"], best, free)
    return Chapter(
        headline=f"Q-learning is within {tiny(last['q_learning'].max())} of the exact values; "
        f"Dyna-Q within {tiny(maze_figures['largest_error'])} in the larger maze",
        blocks=[
            "Now the robot is told nothing: no map, no rewards, no rules. It moves, sees where it ends up and what it "
            "is paid, and keeps a table Q(s, a): how good it was to do a in s. At first it moves at random "
            "(ε = 1), later mostly by its table (ε = 0.05).",
            Equation(
                "Q-learning   Q(s, a) ← Q(s, a) + α [ r + γ maxₐ′ Q(s′, a′) − Q(s, a) ]\n"
                "SARSA        Q(s, a) ← Q(s, a) + α [ r + γ Q(s′, a′) − Q(s, a) ]",
                "The only difference: Q-learning looks at the best next action, SARSA at the one it really takes.",
            ),
            Row(
                [
                    curve_picture(
                        {LABELS[name]: path for name, path in runs.items()},
                        context.folder / "return",
                        "Return while learning",
                        "Return per episode in training; it includes the random moves.",
                    ),
                    _errors(list(curves.values()), context.folder),
                ]
            ),
            f"Left, what the robot earns while it still explores. Right, the distance from the truth: the largest "
            f"|Q − Q*| over all cells and moves. Q-learning reaches the exact values although it was never told the "
            f"rules. SARSA does not, and should not: it learns what its own behaviour is worth, random moves "
            f"included, and beside the hole a random move is expensive. "
            f"{_detour_sentence(detours)} Acting greedily it still gets {share['sarsa']:.1%} of the best return.",
            Row(
                [
                    _policy(context.folder, layout, q_values["q_learning"][0], "Q-learning"),
                    _policy(context.folder, layout, q_values["sarsa"][0], "SARSA"),
                ]
            ),
            *maze_blocks,
        ],
        checks=[
            Check(
                f"Q-learning reaches Q*: |Q − Q*| is at most {last['q_learning'].max():.2g} in all cells, moves and "
                f"{SEEDS} seeds (limit {CLOSE:g})",
                bool(last["q_learning"].max() <= CLOSE),
            ),
            Check(
                f"The greedy policy of every Q-learning seed is exactly optimal ({signed(exact)} from a random start)",
                bool(np.allclose(returns["q_learning"], exact, atol=1e-6)),
            ),
            Check(
                f"SARSA's greedy policy earns at least 98% of it ({share['sarsa']:.2%} over {SEEDS} seeds)",
                bool(share["sarsa"] >= 0.98),
            ),
            *maze_checks,
        ],
        protocol=f"{SEEDS} seeds (0 to {SEEDS - 1}) of each algorithm at once, {STEPS:,} steps each, γ = 1; lines are "
        f"interquartile means over seeds, bands 95% bootstrap intervals. The maze: one seed of Dyna-Q, "
        f"{maze_figures['steps']:,} steps, 10 planning updates per step.",
        commands=[
            *(command(name, WORLD, seeds=SEEDS, steps=STEPS, discount=1) for name in runs),
            command("dyna_q", MAZE, steps=maze_figures["steps"], discount=1),
        ],
        figures={
            "exact_start_value": exact,
            **{
                name: {
                    "largest_error": float(last[name].max()),
                    "largest_error_mean": float(mean(last[name])),
                    "largest_error_ci": list(bootstrap_interval(last[name], mean)),
                    "greedy_return_exact": float(mean(returns[name])),
                    "greedy_return_ci": list(bootstrap_interval(returns[name], mean)),
                }
                for name in runs
            },
            "dyna_q": maze_figures,
        },
        tiles=[Tile(f"{last['q_learning'].max():.1g}", "largest error of 10 learned Q tables against the exact Q*")],
    )


def _error_curve(label: str, path: Path, best: Solution, free: np.ndarray) -> figures.Curve:
    """max |Q − Q*| over the free cells, by repeating the run (same seeds, same numbers) and looking in between."""
    run, agents, _ = trained(path)
    state, size = agents.start(), agents.algorithm.iteration_steps
    iterations = run.config["steps"] // size
    marks = np.unique(np.geomspace(1, iterations, POINTS).round().astype(int))
    errors, done = [], 0
    for mark in marks:
        state, _ = agents.advance(agents.swept, state, np.int32(mark - done))
        done = mark
        q = np.asarray(state.values.q, np.float64)
        errors.append(np.abs(q - best.q_values)[:, free].max((1, 2)))
    return figures.Curve(label, marks * float(size), np.array(errors))


def _losses(mdp: MDP, tables: np.ndarray, best: Solution) -> np.ndarray:
    """What each learned table's greedy policy loses from the start, exactly; [seeds]. A walk in circles loses all."""
    start = np.asarray(mdp.start)
    discount = 1 - 1e-9  # a policy that never ends has no value at γ = 1
    near = best._replace(discount=discount)
    return np.array([float(start @ check_policy(mdp, q.argmax(-1), near).loss) for q in tables])


def _different(tables: np.ndarray, best: Solution, free: np.ndarray) -> np.ndarray:
    """In how many of the seeds each free cell's greedy move is not a best one; [F]."""
    chosen = np.take_along_axis(best.q_values[None], tables.argmax(-1)[..., None], axis=-1)[..., 0]
    return (chosen < best.values - 1e-6)[:, free].sum(0)


def _detour_sentence(counts: np.ndarray) -> str:
    cells = int((counts > 0).sum())
    if not cells:
        return "Here that changes none of its greedy moves."
    where = "one cell" if cells == 1 else f"{cells} cells"
    return f"So it keeps its distance: in {where} its greedy move is a detour (up to {counts.max()} of {SEEDS} seeds)."


def _errors(curves: list[figures.Curve], folder: Path) -> Picture:
    figure = figures.learning_curve(curves, "Distance from the exact values", "largest |Q − Q*|")
    figure.axes[0].set_yscale("log")
    caption = "Logarithmic: each line on the scale is ten times nearer to Q*."
    return save_curves(figure, folder / "error", "Largest error of the learned action values in training", caption)


def _policy(folder: Path, layout: Layout, q: np.ndarray, name: str) -> Picture:
    figure = grid_pictures.policy_picture(layout, _near_ties(q), f"Learned by {name}")
    file = grid_pictures.save(figure, folder / f"policy-{name}.png")
    return Picture(file, f"The greedy policy learned by {name}", "Seed 0 after training.", width=420)


def _maze(folder: Path) -> tuple[list[Any], dict[str, Any], list[Check]]:
    """Dyna-Q in the maze: the lecture's three pictures."""
    steps = 20_480
    train("dyna_q", MAZE, steps=steps, discount=1.0, run=folder / "dyna_q", episodes=1, quiet=True)
    mdp, layout = grid(MAZE)
    best = policy_iteration(mdp, 1.0)
    _, _, state = trained(folder / "dyna_q")
    q = np.asarray(state.values.q[0], np.float64)
    visits, transition = learned_model(state.model)
    seen = np.flatnonzero(visits.sum(-1) > 0)
    error = float(np.abs(q.max(-1) - best.values)[seen].max())
    truth = _true_transition(mdp)
    tried = visits > 0
    wrong = float(np.abs(transition - truth)[tried].max())
    drawn = {
        "policy": grid_pictures.policy_picture(layout, _near_ties(q), "Policy"),
        "values": grid_pictures.value_picture(layout, q.max(-1), "Value function"),
        "model": grid_pictures.model_picture(layout, visits, transition, "Learned model"),
    }
    captions = {
        "policy": "The best moves by the learned table.",
        "values": "Minus the number of steps to the goal.",
        "model": "Where each move was seen to lead: an arrow to another cell, a dot against a wall. Shade: visits.",
    }
    pictures = {
        kind: Picture(
            grid_pictures.save(figure, folder / f"maze-{kind}.png"), f"Maze: {kind}", captions[kind], width=640
        )
        for kind, figure in drawn.items()
    }
    start = int(np.flatnonzero(mdp.start)[0])
    blocks = [
        "Q-learning forgets each step as soon as it has learned from it. Dyna-Q keeps it: it remembers what each move "
        "led to, a model of the world made of nothing but experience, and after every real step it learns from ten "
        "remembered ones as well. In this maze every step costs −1, so a value is minus the number of steps to the "
        "goal.",
        Row([pictures["policy"], pictures["values"]]),
        pictures["model"],
    ]
    checks = [
        Check(
            f"Dyna-Q's values are the exact ones, within {tiny(error)}, in all {len(seen)} cells it has been in "
            f"(start: {signed(q[start].max())} learned, {signed(best.values[start])} exact)",
            error <= CLOSE,
        ),
        Check(
            f"Its model is the world's: every move it tried ({int(tried.sum())}) leads where the rules say", wrong == 0
        ),
    ]
    return blocks, {"steps": steps, "largest_error": error, "moves_tried": int(tried.sum())}, checks


def learned_model(model: Any, agent: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """How often each move was tried, ``[S, U]``, and where it led as a share of what is remembered, ``[S, U, S]``."""
    visits, following = np.asarray(model.visits[agent]), np.asarray(model.next_state[agent])
    num_states, num_actions, memory = following.shape
    remembered = np.arange(memory) < np.minimum(visits, memory)[..., None]
    transition = np.zeros((num_states, num_actions, num_states))
    s, a, m = np.nonzero(remembered)
    np.add.at(transition, (s, a, following[s, a, m]), 1.0)
    return visits, transition / np.maximum(remembered.sum(-1), 1)[..., None]


def _true_transition(mdp: MDP) -> np.ndarray:
    next_state, probability = np.asarray(mdp.next_state), np.asarray(mdp.probability)
    transition = np.zeros((*next_state.shape[:2], len(next_state)))
    s, a, k = np.indices(next_state.shape)
    np.add.at(transition, (s, a, next_state), probability[s, a, k])
    return transition


def _near_ties(q: np.ndarray) -> np.ndarray:
    """Learned values in which actions that are equal but for the last wobble are equal, so that both get an arrow."""
    best = q.max(-1, keepdims=True)
    return np.where(q >= best - CLOSE, best, q)
