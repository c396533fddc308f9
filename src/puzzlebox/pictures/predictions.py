"""What MuZero's model predicts beside what happened: rewards, values and the policy along one episode.

The model sees the episode's first observation and then only the actions, for K steps; then it may look again. A line is
what happened (the reward paid, the discounted return, the search's opinion), a dot what the model had predicted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.algorithms.planning.muzero import MuZero
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import UsageError
from puzzlebox.nets.muzero import unroll
from puzzlebox.ops.two_hot import expected_value
from puzzlebox.pictures import figures
from puzzlebox.runs import checkpoint
from puzzlebox.runs.directory import Run
from puzzlebox.scale import backend
from puzzlebox.types import Game, State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_STEPS = 200  # of the episode; more would not be seen apart


class Happened(NamedTuple):
    """One episode of ``T`` steps, or its beginning; rewards and values are those of the player who moves."""

    observation: np.ndarray  # [T, ...]
    action: np.ndarray  # int32 [T]
    reward: np.ndarray  # [T]
    value: np.ndarray  # [T], the discounted return; of a beginning, with the search's value at its end
    policy: np.ndarray  # [T], the search's probability of the action taken


class Predicted(NamedTuple):
    """The same as the model predicted it, ``imagined [T]`` steps after it had last seen something."""

    reward: np.ndarray
    value: np.ndarray
    policy: np.ndarray
    imagined: np.ndarray


def plot_predictions(run: str | Path, agent: int = 0, seed: int = 0) -> list[Path]:
    """Draws ``predictions.png`` and ``.svg`` into the directory of a run of muzero; returns the files.

    Raises UsageError for a run of another algorithm and an agent that the run does not have.
    """
    from puzzlebox.runs.build import build_run

    opened = Run.open(run)
    config = opened.config
    if config["algorithm"] != "muzero":
        raise UsageError(f"{opened.path} is a run of {config['algorithm']}, which learns no model; muzero does")
    if not 0 <= agent < len(config["agents"]):
        raise UsageError(f"agent is {agent}; {opened.path} has agents 0 to {len(config['agents']) - 1}")
    backend.prepare()
    agents: Any = build_run(opened)
    state, _, _ = checkpoint.load_newest(opened.checkpoints, agents.shapes())
    algorithm, own = agents.one(agent), jax.tree.map(lambda leaf: leaf[agent], state)
    happened = play_episode(algorithm, own, seed)
    figure = draw_predictions(
        happened, predict(algorithm, own, happened), f"What the model of {config['env']} predicts"
    )
    return figures.save(figure, opened.path / "predictions")


def play_episode(algorithm: MuZero, state: State, seed: int) -> Happened:
    """One episode by search without noise, at most `MAX_STEPS` of it."""
    env: Any = algorithm.env
    game = env if isinstance(env, Game) else None
    step = jax.jit(jax.vmap(game.step, (0, 0, None)) if game else vectorize(env, 1).step)
    plan = jax.jit(lambda seen, legal, key: algorithm.plan(state.net, seen, legal, key, noise=0.0))
    key = jax.random.key(seed)
    reset = jax.vmap(game.reset, (None,), axis_size=1) if game else vectorize(env, 1).reset
    shown: Any  # a game's position, a world's observation or time step
    world, shown = reset(jax.random.fold_in(key, MAX_STEPS))

    # play by search
    rows: list[tuple] = []
    ended, last = False, 0.0
    for t in range(MAX_STEPS + 1):
        plan_key, step_key = jax.random.split(jax.random.fold_in(key, t))
        seen, legal = (shown.observation, shown.legal) if game else (shown, None)
        found = plan(seen, legal, plan_key)
        if ended or t == MAX_STEPS:
            last = float(found.value[0])
            break
        player = shown.player[0] if game else 0
        world, shown, *following = step(world, found.action, step_key)
        reward = shown.reward[0, player] if game else shown.reward[0]
        turn = -1.0 if game and shown.player[0] != player else 1.0
        rows.append((seen[0], found.action[0], reward, turn, found.weights[0, found.action[0]]))
        if shown.terminated[0]:
            break
        ended = not game and bool(shown.truncated[0])
        shown = shown if game else shown.observation if ended else following[0]
    seen, action, reward, turns, policy = (np.stack([np.asarray(row[i]) for row in rows]) for i in range(5))

    # discounted returns, backwards; where the turn passes to the opponent, what follows counts negatively
    value, following_value = np.zeros(len(rows)), last
    for t in reversed(range(len(rows))):
        following_value = value[t] = reward[t] + float(algorithm.discount) * turns[t] * following_value
    return Happened(seen, action, reward, value, policy)


def predict(algorithm: MuZero, state: State, happened: Happened) -> Predicted:
    """What the model says along the episode, seeing every K-th observation and otherwise only actions."""
    length, every = len(happened.action), algorithm.unroll_steps
    starts = np.arange(0, length, every)
    action = np.zeros(len(starts) * every, np.int32)
    action[:length] = happened.action
    x = algorithm.network_input(jnp.asarray(happened.observation[starts]))
    policies, values, rewards = unroll(state.net, x, jnp.asarray(action.reshape(-1, every).T))

    def along(told: jax.Array) -> np.ndarray:
        """``[K, N]`` by steps unrolled and starts -> ``[T]``."""
        return np.asarray(told).T.reshape(-1)[:length]

    chosen = jnp.take_along_axis(jax.nn.softmax(policies[:-1]), jnp.asarray(action.reshape(-1, every).T)[..., None], -1)
    return Predicted(
        along(expected_value(rewards, algorithm.value_limit)),
        along(expected_value(values[:-1], algorithm.value_limit)),
        along(chosen[..., 0]),
        np.arange(length) % every,
    )


def draw_predictions(happened: Happened, predicted: Predicted, title: str) -> Figure:
    """Three panels over the steps of the episode: reward, value, probability of the action taken."""
    from matplotlib.figure import Figure

    names = {"reward": "reward", "value": "return", "policy": "probability of\nthe action taken"}
    steps = np.arange(len(happened.action))
    seen = predicted.imagined == 0
    every = int(predicted.imagined.max()) + 1
    with figures.style():
        figure = Figure(figsize=(7.2, 6.2), layout="constrained")
        rows = figure.subplots(3, 1, sharex=True)
        rows[0].set_title(title, pad=24)
        note = f"the model sees the world every {every} steps (ring) and imagines the steps between (dot)"
        place = {"xycoords": "axes fraction", "textcoords": "offset points", "color": "#666666", "size": 9.5}
        rows[0].annotate(note, (0, 1), (0, 8), **place)
        for axes, (name, label) in zip(rows, names.items(), strict=True):
            truth, told = getattr(happened, name), getattr(predicted, name)
            axes.plot(steps, truth, color=figures.COLOURS[0], lw=1.6, label="happened" if name == "reward" else None)
            axes.plot(steps[~seen], told[~seen], "o", color=figures.COLOURS[1], ms=3, mew=0, label="predicted")
            axes.plot(steps[seen], told[seen], "o", color=figures.COLOURS[1], ms=4.5, mfc="none", mew=1)
            axes.set_ylabel(label)
            axes.margins(x=0.02, y=0.12)
        rows[2].set_ylim(-0.05, 1.05)
        rows[2].set_xlabel("step of the episode")
        rows[0].legend(loc="best")
    return figure
