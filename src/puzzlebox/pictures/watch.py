"""Watching a trained policy play: a GIF in the run directory, and the same in the terminal.

Every world is played one step at a time as a Gymnasium environment: ours through `gymnasium_export`, Gymnasium's tasks
in Gymnasium's own simulator, also those that were solved or learned from their table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import jax
import numpy as np

from puzzlebox.envs import make
from puzzlebox.envs.grid_drawing import grid_picture, grid_text
from puzzlebox.errors import PuzzleboxError, UsageError, missing_extra
from puzzlebox.pictures.film import Film
from puzzlebox.runs import checkpoint
from puzzlebox.runs.directory import Run, writing
from puzzlebox.runs.inputs import located
from puzzlebox.runs.progress import say
from puzzlebox.scale import backend
from puzzlebox.types import Layout, Renderable, Simulated, Tabular

MAX_STEPS = 5_000  # an episode that goes on is cut here
GRID_SPEED, GYMNASIUM_SPEED = 4, 30  # steps per second, where the world does not say

ENDS = {"terminated": "the task ended", "truncated": "time was up", "cut": "cut off"}
Act = Callable[[Any, Any], Any]  # (observation, key) -> action


class Stage(NamedTuple):
    """A world to be played one step at a time; ``rows`` is its map if it is a grid.

    A world without a render mode is drawn from its map, one without a map by its observations.
    """

    env: gymnasium.Env
    rows: tuple[str, ...] | None
    frames_per_second: float


class Episode(NamedTuple):
    """How an episode went: the sum of its rewards, its steps, and how it ended."""

    episode_return: float
    length: int
    ended: str  # "terminated", "truncated" or "cut"


def watch(
    run: str | Path,
    *,
    agent: int = 0,
    sampled: bool = False,
    seed: int = 0,
    episodes: int = 1,
    out: str | Path | None = None,
    terminal: bool | None = None,
) -> dict[str, Any]:
    """Plays ``episodes`` with the newest checkpoint of one agent; writes ``watch.gif`` into the run (or ``out``).

    ``sampled`` draws actions from the policy in the place of the best one. ``terminal``: show it there too; None does
    so where standard error is a terminal. Raises UsageError for an agent that the run does not have, a world that
    cannot be drawn, and fewer than one episode.
    """
    opened = Run.open(run)
    film, played, figures = film_run(opened, agent, not sampled, seed, episodes)
    path = Path(out) if out is not None else opened.path / "watch.gif"
    with writing(path):
        film.save(path)
    show(film, terminal)
    episodes_played = [episode._asdict() for episode in played]
    return figures | {"gif": str(path), "episodes": episodes_played, "frames": len(film.frames)}


def film_run(
    run: Run, agent: int = 0, greedy: bool = True, seed: int = 0, episodes: int = 1
) -> tuple[Film, list[Episode], dict[str, Any]]:
    """The film of a run's agent, what happened in it, and who played."""
    from puzzlebox.runs.build import build_run

    names = run.config["agents"]
    if not 0 <= agent < len(names):
        raise UsageError(f"agent is {agent}; {run.path} has agents 0 to {len(names) - 1}")
    if episodes < 1:
        raise UsageError(f"episodes is {episodes}; it must be at least 1")
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed is {seed}; it must be between 0 and {2**32 - 1}")
    backend.prepare()
    agents = build_run(run)
    stage = set_stage(located(run.config, run.path)["env"])
    state, progress, notes = checkpoint.load_newest(run.checkpoints, agents.shapes())
    for note in notes:
        say(note)
    swept, own = jax.tree.map(lambda leaf: leaf[agent], (agents.swept, state))
    act = jax.jit(lambda observation, key: agents.policy(swept, own, greedy)(observation, key))
    mode = "greedy" if greedy else "sampled"
    values = "".join(f", {name.replace('_', ' ')} {value:g}" for name, value in names[agent].items() if name != "seed")
    title = f"{run.config['algorithm']} on {run.config['env']} · seed {names[agent]['seed']}{values} · {mode}"
    film, played = record(stage, act, title, seed=seed, episodes=episodes)
    return film, played, {"run": str(run.path), "agent": agent, "steps": progress["steps"], "mode": mode}


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The same for a person."""
    out = [
        f"episode {i}: return {e['episode_return']:g} in {e['length']} steps ({ENDS[e['ended']]})"
        for i, e in enumerate(figures["episodes"], 1)
    ]
    return [*out, f"film: {figures['gif']}"]


def set_stage(name: str) -> Stage:
    """The world called ``name``, ready to be played and drawn. Raises UsageError where nothing can draw it."""
    from puzzlebox.envs.gymnasium_export import GymnasiumEnvironment

    world = make(name)
    layout = world.layout if isinstance(world, Tabular) else None
    if name.startswith("gym:"):
        host = make(f"{name},host=true") if isinstance(world, Tabular) else world
        assert isinstance(host, Simulated)  # what stays in Python is one
        return _gymnasium_stage(name, host, layout)
    if isinstance(world, Simulated):
        env = world.single("rgb_array")
        return Stage(env, None, env.metadata["render_fps"])
    if layout is not None:
        return Stage(GymnasiumEnvironment(world), layout.rows, GRID_SPEED)
    if not isinstance(world, Renderable):
        raise UsageError(f"{name} draws no pictures; grids, classic control and most of Gymnasium's worlds do")
    return Stage(GymnasiumEnvironment(world, render_mode="rgb_array"), None, world.frames_per_second)


def _gymnasium_stage(name: str, host: Simulated, layout: Layout | None) -> Stage:
    """Gymnasium's own simulator and pictures; a grid is drawn by us where its drawing needs a missing package."""
    plain = host.single()
    modes = plain.metadata.get("render_modes") or []
    speed = plain.metadata.get("render_fps") or GYMNASIUM_SPEED
    if "rgb_array" not in modes:
        return Stage(plain, layout.rows if layout is not None else None, speed)
    backend.draw_in_memory()
    env = host.single("rgb_array")
    try:
        env.reset(seed=0)
        if env.render() is None:
            env.close()
            return Stage(plain, layout.rows if layout is not None else None, speed)
    except gymnasium.error.DependencyNotInstalled as fault:
        env.close()
        if layout is None:
            raise (
                missing_extra("pygame", "render") if "pygame" in str(fault) else UsageError(f"{name}: {fault}")
            ) from None
        return Stage(plain, layout.rows, GRID_SPEED)
    except Exception as fault:
        raise PuzzleboxError(f"{name} cannot draw itself here: {type(fault).__name__}: {fault}") from fault
    plain.close()
    return Stage(env, layout.rows if layout is not None else None, speed)


def record(stage: Stage, act: Act, title: str, *, seed: int = 0, episodes: int = 1) -> tuple[Film, list[Episode]]:
    """Plays whole episodes with ``act(observation, key)`` and films them; closes the world.

    The episodes are those of ``seed``: the same policy gives the same film.
    """
    film = Film(stage.frames_per_second, title)
    key = jax.random.key(seed)
    played = []
    for i in range(episodes):
        played.append(_episode(stage, act, film, jax.random.fold_in(key, i), seed if i == 0 else None))
    stage.env.close()
    return film, played


def _episode(stage: Stage, act: Act, film: Film, key: Any, seed: int | None) -> Episode:
    """Plays and films one episode; only the first resets the world with a seed, later ones continue its randomness."""
    observation, _ = stage.env.reset(seed=seed)
    total, length, ended, trail = 0.0, 0, "", list[int]()
    _shoot(stage, film, observation, trail, f"step 0 · return {total:g}", last=False)
    while not ended:
        action = act(observation, jax.random.fold_in(key, length))
        if stage.rows is not None:
            trail.append(int(observation))
        observation, reward, terminated, truncated, _ = stage.env.step(np.asarray(action))
        total, length = total + float(reward), length + 1
        film.tick()
        ended = "terminated" if terminated else "truncated" if truncated else "cut" if length >= MAX_STEPS else ""
        caption = f"step {length} · return {_number(total)}" + (f" · {ENDS[ended]}" if ended else "")
        _shoot(stage, film, observation, trail, caption, last=bool(ended))
    film.tick()
    return Episode(round(total, 4), length, ended)


def _shoot(stage: Stage, film: Film, observation: Any, trail: list[int], caption: str, last: bool) -> None:
    """Films the present moment, if the film wants it; drawing is slow, so it is asked first."""
    if not film.wants(last):
        return
    place = (stage.rows, int(observation), trail) if stage.rows is not None else None
    picture: Any = stage.env.render() if stage.env.render_mode else None
    if picture is None:
        picture = grid_picture(*place) if place else observation_picture(observation)
    film.add(np.asarray(picture), caption, grid_text(*place) if place else None, last)


def observation_picture(observation: Any, height: int = 160, bar: int = 12) -> np.ndarray:
    """The numbers of an observation as bars around a middle line, squeezed by tanh; the first 40 of them."""
    numbers = np.tanh(np.asarray(observation, np.float64).reshape(-1)[:40])
    picture = np.full((height, max(160, bar * (len(numbers) + 2)), 3), 255, np.uint8)
    middle = height // 2
    picture[middle] = 160
    for i, number in enumerate(numbers):
        ends = sorted((middle, middle - round(number * (middle - 4))))
        picture[ends[0] : ends[1] + 1, bar * (i + 1) : bar * (i + 2) - 2] = (60, 100, 180)
    return picture


def show(film: Film, terminal: bool | None) -> None:
    """Plays the film on standard error if that is a terminal or ``terminal`` says so; Ctrl-C skips the rest."""
    from rich.console import Console

    console = Console(stderr=True, force_terminal=True if terminal else None)
    if terminal is False or not console.is_terminal:
        return
    with contextlib.suppress(KeyboardInterrupt):
        film.play(console)


def _number(x: float) -> str:
    return f"{x:.2f}".rstrip("0").rstrip(".").replace("-", "−")
