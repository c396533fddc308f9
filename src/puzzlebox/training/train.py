"""Training and resuming: one loop for every algorithm and world.

The loop works in points: some iterations in one call of the compiled program (`Pace` says how many), then a row of
metrics, and perhaps a checkpoint. Whatever the algorithm is, it is only seen as a `Trainee`.
"""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from puzzlebox.algorithms import of_language
from puzzlebox.data.text_worlds import skipping_bad
from puzzlebox.envs.host import Simulation, simulation
from puzzlebox.envs.own import name_of_own
from puzzlebox.errors import Interrupted, UsageError
from puzzlebox.evaluation.evaluate import evaluate_agents
from puzzlebox.pictures.plots import plot_run
from puzzlebox.runs import checkpoint, inputs, protocol
from puzzlebox.runs.build import build, build_run
from puzzlebox.runs.configure import configure
from puzzlebox.runs.directory import Run, check_free, write_json
from puzzlebox.runs.interrupt import interruptible
from puzzlebox.runs.progress import TrainingProgress
from puzzlebox.runs.trained import network_of_start, started
from puzzlebox.scale import backend
from puzzlebox.training.pace import Pace
from puzzlebox.types import Environment, State, Trainee, Untabled

OPEN_ENDED = ("clone", "alphazero")  # they can be told minutes instead of steps
ENDLESS = 1_000_000_000  # steps
BEGINNING = {"steps": 0, "seconds": 0.0}  # the progress of a run that has none


def train(
    algorithm: str | type,
    env: str | Environment,
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

    Both are names, or your own: a class of an algorithm and a world, each defined in a file.
    A hyper-parameter given as several numbers (a list, or text with commas) is swept: every value with every seed, in
    one compiled program. ``episodes`` are of the evaluation (default 100, in a simulator 8).
    ``checkpoint_every`` is in seconds. Training stops after ``minutes`` (compiling not counted) or after the steps,
    whichever comes first; an algorithm that can do without a number of steps (`OPEN_ENDED`) has no end of its own if
    only minutes are given. ``skip_bad`` leaves the broken rows of a file out. Raises UsageError before anything
    compiles.
    """
    # check the request
    algorithm = algorithm if isinstance(algorithm, str) else name_of_own(algorithm)
    env = env if isinstance(env, str) else name_of_own(env)
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

    # build the agents
    agents: Trainee = build(config)
    network_of_start(agents.algorithm, env)
    agents.check()
    world = agents.algorithm.env

    # what config.json records besides
    record = {"versions": backend.versions(), "hardware": backend.hardware(), **protocol.recorded(world)}
    record |= {"episodes": episodes or protocol.default_episodes(world)}
    notes = [world.note] if isinstance(world, Untabled) and world.note else []

    # train, in a new directory that a refused request leaves no trace of
    with simulation(world) as simulators:
        opened = Run.create(path, config | record)
        opened.note(files=inputs.keep(path, config))
        try:
            return _train(opened, agents, None, BEGINNING, notes, simulators, checkpoint_every, quiet)
        except UsageError:
            opened.discard()
            raise


def resume(
    run: str | Path, *, steps: int | None = None, checkpoint_every: float = 10.0, quiet: bool = False
) -> dict[str, Any]:
    """Continues a run from its newest undamaged checkpoint: bit for bit where the world is pure.

    With ``steps`` it goes on for longer than was asked at first, to so many in all. What falls over the whole training
    (a step size, an ε) then falls over the new length, so at the beginning it is higher again than at the old end.
    """
    opened = Run.open(run)
    backend.prepare(language=opened.family == "language")
    changed = inputs.renew(opened)
    if steps is not None:
        hyperparameters = opened.config["hyperparameters"] | {"steps": steps}
        opened.config |= {"steps": steps, "hyperparameters": hyperparameters, "minutes": None}
    agents: Trainee = build_run(opened)
    if steps is not None:
        check_longer(opened, steps, agents.algorithm.iteration_steps)
    with simulation(agents.algorithm.env) as simulators:
        if not checkpoint.list_checkpoints(opened.checkpoints):
            opened.cut_metrics(0)
            return _train(opened, agents, None, BEGINNING, changed, simulators, checkpoint_every, quiet)
        state, progress, notes = checkpoint.load_newest(opened.checkpoints, agents.shapes())
        notes = [*changed, *notes]
        opened.cut_metrics(progress["steps"])
        # a finished run is only evaluated again, so it has nothing to lose
        if progress["steps"] < opened.config["steps"]:
            state, lost = agents.resumed(state, progress["steps"])
            notes += [f"{opened.config['env']} {lost}"] if lost else []
        return _train(opened, agents, state, progress, notes, simulators, checkpoint_every, quiet)


def check_longer(run: Run, steps: int, iteration_steps: int) -> None:
    """Writes the new length of a run into it; raises UsageError where it has been trained for as long already."""
    whole = steps // iteration_steps * iteration_steps
    done = max((int(path.stem) for path in checkpoint.list_checkpoints(run.checkpoints)), default=0)
    if whole <= done:
        raise UsageError(f"steps is {steps}, but {run.path} has {done} already; name the steps in all, more than those")
    run.note(steps=whole)


def default_path(algorithm: str, env: str) -> Path:
    """``runs/ALGORITHM-ENV-TIME``, with a hyphen for what file names do not like."""
    name = "".join(c if c.isalnum() or c in "-_=." else "-" for c in env)
    return Path("runs") / f"{algorithm}-{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _train(
    run: Run,
    agents: Trainee,
    state: State | None,
    progress: dict[str, Any],
    notes: list[str],
    simulators: Simulation,
    checkpoint_every: float,
    quiet: bool,
) -> dict[str, Any]:
    """Trains from ``state`` (None: from the start) to the end, evaluates, and returns the figures.

    ``notes`` are what resuming had to say; ``simulators`` tell what went wrong in them meanwhile.
    """
    config = run.config
    pace = Pace(config, agents, progress)
    saver = Saver(run, 0.0 if agents.asks_a_person else checkpoint_every)
    title = f"{config['algorithm']} on {config['env']}"
    with (
        TrainingProgress(title, pace.total_steps, agents.num_agents, quiet, live=not agents.asks_a_person) as bar,
        interruptible() as interrupted,
        simulation(agents.algorithm.env),  # whose worlds are closed before those of the evaluation are made
    ):
        for note in [*notes, *agents.notes()]:
            bar.note(note)
        state = _loop(run, agents, state, pace, saver, bar, interrupted)
    if pace.steps < pace.total_steps:
        notes = [*notes, f"stopped after {pace.seconds / 60:.1f} minutes of training, at step {pace.steps}"]
    figures = evaluate_agents(run, agents, state, pace.steps, episodes=config["episodes"], seed=config["seed"])
    figures |= {
        "seconds": round(pace.seconds, 3),
        "compile_seconds": round(pace.compile_seconds, 3),
        "steps_per_second": speed(pace.steps * agents.num_agents, pace.seconds),
        "notes": [*notes, *simulators.told(), *figures.get("notes", [])],
    }
    write_json(run.path / "summary.json", figures)
    plot_run(run.path)
    return figures


def _loop(
    run: Run,
    agents: Trainee,
    state: State | None,
    pace: Pace,
    saver: Saver,
    bar: TrainingProgress,
    interrupted: threading.Event,
) -> State:
    """Advances to the end point by point: each is a row of metrics, a look at the bar, and perhaps a checkpoint.

    The state before training is made here, so that nobody holds it (a model and Adam's moments) when it is outdated.
    """
    # start and compile
    began = time.perf_counter()
    if state is None:
        state = started(agents.algorithm, run.config["env"], agents.start())
    advance = agents.compile(state, bar.note)
    jax.block_until_ready(state)
    pace.begin(compile_seconds=time.perf_counter() - began)
    saver.begin()
    while not pace.finished:
        iterations = pace.iterations()

        # learn
        try:
            state, metrics = advance(agents.swept, state, np.int32(iterations))
        except KeyboardInterrupt:
            way_on = f"continue from the last checkpoint with: puzzlebox resume {run.path}"
            raise Interrupted(f"stopped at step {pace.steps}; {way_on}") from None

        # log and show
        row = {name: [shortest(v) for v in values] for name, values in jax.device_get(metrics).items()}
        pace.took(iterations)
        run.append_metrics({"steps": pace.steps, "seconds": round(pace.seconds, 3)} | row)
        if agents.slow and len(pace.points) == 3:
            bar.note(pace.duration())
        bar.update(pace.steps, pace.steps_per_second(agents.num_agents), row, pace.share)

        # save
        if saver.is_due() or pace.finished or interrupted.is_set():
            saver.save(state, pace)
        if interrupted.is_set() and not pace.finished:
            raise Interrupted(f"stopped at step {pace.steps}, all saved; continue with: puzzlebox resume {run.path}")
    return state


class Saver:
    """Writes a checkpoint ``every`` so many seconds, or less often where they would take over a tenth of the time."""

    def __init__(self, run: Run, every: float):
        self.folder, self.every = run.checkpoints, every

    def begin(self) -> None:
        """Starts the clock, once everything is compiled."""
        self.saved = time.perf_counter()

    def is_due(self) -> bool:
        """Whether ``every`` seconds have passed since the last checkpoint."""
        return time.perf_counter() - self.saved > self.every

    def save(self, state: State, pace: Pace) -> None:
        """Writes a checkpoint; if that took long, the next ones come less often."""
        began = time.perf_counter()
        checkpoint.save(self.folder, pace.steps, state, {"steps": pace.steps, "seconds": pace.seconds})
        self.saved = time.perf_counter()
        self.every = max(self.every, 10 * (self.saved - began))


def speed(steps: int, seconds: float) -> float | None:
    """Steps per second, with four digits that count or one after the point: language models take less than one."""
    each = steps / seconds if seconds else 0.0
    return round(each, max(1, 3 - math.floor(math.log10(each)))) if each else None


def shortest(x: np.float32) -> float:
    """The number with the fewest digits that is still this float32: 0.1, not 0.10000000149011612."""
    return float(str(x))
