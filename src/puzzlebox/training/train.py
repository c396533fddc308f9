"""Training and resuming: one loop for every algorithm and world."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from puzzlebox.algorithms import of_language
from puzzlebox.data.text_worlds import skipped, skipping_bad
from puzzlebox.envs.host import Simulation, simulation
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.evaluation.evaluate import evaluate_agents
from puzzlebox.pictures.plots import plot_run
from puzzlebox.runs import checkpoint, memory, protocol
from puzzlebox.runs.agents import Agents
from puzzlebox.runs.build import build
from puzzlebox.runs.configure import configure
from puzzlebox.runs.directory import Run, check_free, write_json
from puzzlebox.runs.interrupt import interruptible
from puzzlebox.runs.language_agents import LanguageAgents
from puzzlebox.runs.progress import TrainingProgress
from puzzlebox.runs.trained import network_of_start, started
from puzzlebox.scale import backend
from puzzlebox.training import preflight
from puzzlebox.types import RemembersEpisodes, Simulated, State

POINTS = 100  # logged points per run, about
OPEN_ENDED = ("clone", "alphazero")
ENDLESS = 1_000_000_000  # steps
MOST_SEEDS, MOST_STEPS = 1_000_000, 2**31 - 1


class Interrupted(PuzzleboxError):
    """Ctrl-C: everything is saved."""

    exit_code = 130


def train(
    algorithm: str,
    env: str,
    *,
    seeds: int = 1,
    seed: int = 0,
    run: str | Path | None = None,
    episodes: int | None = None,
    checkpoint_every: float = 10.0,
    minutes: float | None = None,
    skip_bad: bool = False,
    quiet: bool = False,
    **hyperparameters: Any,
) -> dict[str, Any]:
    """Trains seeds ``seed … seed + seeds - 1`` of ``algorithm`` on ``env`` at once, evaluates, returns the figures.

    A hyper-parameter given as several numbers (a list, or text with commas) is swept: every value with every seed, in
    one compiled program. ``episodes`` are of the evaluation (default 100, in a simulator 8).
    ``checkpoint_every`` is in seconds. Training stops after ``minutes`` (compiling not counted) or after the steps,
    whichever comes first; an algorithm that can do without a number of steps (`OPEN_ENDED`) has no end of its own if
    only minutes are given. ``skip_bad`` leaves the broken rows of a file out. Raises UsageError before anything
    compiles.
    """
    env = skipping_bad(env) if skip_bad else env
    backend.prepare(language=of_language(algorithm))
    if minutes is not None and not 0 < minutes < math.inf:
        raise UsageError(f"minutes is {minutes:g}; it must be above 0")
    if minutes is not None and algorithm in OPEN_ENDED:
        hyperparameters.setdefault("steps", ENDLESS)
    config = configure(algorithm, env, seeds, seed, hyperparameters) | {"minutes": minutes}
    if episodes is not None and episodes < 1:
        raise UsageError(f"episodes is {episodes}; it must be at least 1")
    path = Path(run) if run is not None else default_path(algorithm, env)
    check_free(path)
    agents = build(config)
    network_of_start(agents.algorithm, env)
    if isinstance(agents, LanguageAgents):
        preflight.check(agents)
        agents.algorithm.check_rows()
    else:
        memory.check_state(agents)
    world = agents.algorithm.env
    record = {"versions": backend.versions(), "hardware": backend.hardware(), **protocol.recorded(world)}
    record |= {"episodes": episodes or protocol.default_episodes(world)}
    with simulation(world) as simulators:
        opened = Run.create(path, config | record)
        try:
            return _train(opened, agents, None, {"steps": 0, "seconds": 0.0}, checkpoint_every, quiet, simulators)
        except UsageError:
            opened.discard()
            raise


def resume(run: str | Path, *, checkpoint_every: float = 10.0, quiet: bool = False) -> dict[str, Any]:
    """Continues a run from its newest undamaged checkpoint: bit for bit where the world is pure."""
    opened = Run.open(run)
    backend.prepare(language=of_language(opened.config.get("algorithm", "")))
    agents = build(opened.config)
    with simulation(agents.algorithm.env) as simulators:
        if not checkpoint.list_checkpoints(opened.checkpoints):
            opened.cut_metrics(0)
            return _train(opened, agents, None, {"steps": 0, "seconds": 0.0}, checkpoint_every, quiet, simulators)
        state, progress, notes = checkpoint.load_newest(opened.checkpoints, agents.shapes())
        opened.cut_metrics(progress["steps"])
        if is_host(agents.algorithm.env) and progress["steps"] < opened.config["steps"]:
            state = restart_worlds(agents, state, progress["steps"])
            notes.append(
                f"{opened.config['env']} runs in a simulator whose inner state cannot be saved; it was started again: "
                f"all worlds start new episodes at step {progress['steps']}; "
                "networks, optimiser, replay and random numbers continue"
            )
        return _train(opened, agents, state, progress, checkpoint_every, quiet, simulators, notes)


def default_path(algorithm: str, env: str) -> Path:
    name = "".join(c if c.isalnum() or c in "-_=." else "-" for c in env)
    return Path("runs") / f"{algorithm}-{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def is_host(env: Any) -> bool:
    """Whether the world is a simulator outside the compiled program."""
    return isinstance(env, Simulated)


def restart_worlds(agents: Agents, state: State, steps: int) -> State:
    """``state`` with all worlds, and what an algorithm remembers of unfinished episodes, as at a fresh start."""
    fresh = agents.init(agents.swept, jax.vmap(lambda key: jax.random.fold_in(key, steps))(agents.keys))
    algorithm = agents.algorithm
    members = algorithm.episode_members if isinstance(algorithm, RemembersEpisodes) else ("worlds",)
    return state._replace(**{name: getattr(fresh, name) for name in members})


def _train(
    run: Run,
    agents: Any,
    state: State | None,
    progress: dict[str, Any],
    checkpoint_every: float,
    quiet: bool,
    simulators: Simulation,
    notes: list[str] | None = None,
) -> dict[str, Any]:
    config = run.config
    total_steps, iteration_steps = config["steps"], agents.algorithm.iteration_steps
    iterations_per_point = max(1, total_steps // iteration_steps // POINTS)
    if agents.asks_a_person:  # a person's answers are kept as soon as they are learned
        iterations_per_point, checkpoint_every = 1, 0.0
    title = f"{config['algorithm']} on {config['env']}"
    with (
        TrainingProgress(title, total_steps, agents.num_agents, quiet, live=not agents.asks_a_person) as bar,
        interruptible() as interrupted,
        simulation(agents.algorithm.env),
    ):
        for note in notes or []:
            bar.note(note)
        if isinstance(agents, LanguageAgents):
            for note in skipped(agents.algorithm.env).get("notes", []):
                bar.note(note)
            bar.note(preflight.check(agents))
            preflight.measure_first_update(agents, bar.note)
        began = time.perf_counter()
        if state is None:
            state = started(agents.algorithm, config["env"], agents.start())
        advance = agents.compile(state)
        if isinstance(agents, Agents):
            memory.fits(advance, devices=agents.mesh.size)
        jax.block_until_ready(state)
        compile_seconds = time.perf_counter() - began
        steps, seconds_before = progress["steps"], progress["seconds"]
        began = saved = time.perf_counter()
        first_steps = steps
        seconds = seconds_before
        points: list[tuple[int, float]] = []  # the first contains compiling
        limit = math.inf if config.get("minutes") is None else 60 * config["minutes"]
        while steps < total_steps and seconds < limit:
            if limit < math.inf:
                taken = seconds - seconds_before  # for the first point one iteration, which tells how long they take
                iterations_per_point = paced(steps - first_steps, taken, limit, seconds) // iteration_steps or 1
            iterations = min(iterations_per_point, (total_steps - steps) // iteration_steps)
            try:
                state, metrics = advance(agents.swept, state, np.int32(iterations))
            except KeyboardInterrupt:
                way_on = f"continue from the last checkpoint with: puzzlebox resume {run.path}"
                raise Interrupted(f"stopped at step {steps}; {way_on}") from None
            steps += iterations * iteration_steps
            row = {name: [shortest(v) for v in values] for name, values in jax.device_get(metrics).items()}
            elapsed = time.perf_counter() - began
            seconds = seconds_before + elapsed
            run.append_metrics({"steps": steps, "seconds": round(seconds, 3)} | row)
            points.append((steps, elapsed))
            if isinstance(agents, LanguageAgents) and len(points) == 3:
                bar.note(preflight.duration(elapsed - points[0][1], steps - points[0][0], total_steps - steps))
            share = None if limit == math.inf else min(1.0, seconds / limit)
            bar.update(steps, (steps - first_steps) * agents.num_agents / elapsed, row, share)
            finished = steps >= total_steps or seconds >= limit
            if time.perf_counter() - saved > checkpoint_every or finished or interrupted.is_set():
                began_saving = time.perf_counter()
                checkpoint.save(run.checkpoints, steps, state, {"steps": steps, "seconds": seconds})
                saved = time.perf_counter()
                checkpoint_every = max(checkpoint_every, 10 * (saved - began_saving))  # at most a tenth of the time
            if interrupted.is_set() and not finished:
                raise Interrupted(f"stopped at step {steps}, all saved; continue with: puzzlebox resume {run.path}")
    if steps < total_steps:
        notes = [*(notes or []), f"stopped after {seconds / 60:.1f} minutes of training, at step {steps}"]
    figures = evaluate_agents(run, agents, state, steps, episodes=config["episodes"], seed=config["seed"])
    figures |= {
        "seconds": round(seconds, 3),
        "compile_seconds": round(compile_seconds, 3),
        "steps_per_second": round(steps * agents.num_agents / seconds, 1) if seconds else None,
        "notes": [*(notes or []), *simulators.told(), *figures.get("notes", [])],
    }
    write_json(run.path / "summary.json", figures)
    plot_run(run.path)
    return figures


def paced(steps: int, seconds: float, limit: float, gone: float) -> int:
    """How many steps the next point takes, so that about `POINTS` points fill ``limit`` seconds and none overshoots it.

    ``steps`` were taken in ``seconds``; ``gone`` seconds of the limit are over. 0 as long as nothing was measured.
    """
    return int(steps / seconds * max(min(limit / POINTS, limit - gone), 0)) if steps else 0


def shortest(x: np.float32) -> float:
    """The number with the fewest digits that is still this float32."""
    return float(str(x))
