"""``puzzlebox reward-lab``: four weightings of the same six-term reward, and the four behaviours they teach.

The same level, the same algorithm, the same seeds; only the weights differ. All settings and seeds train side by side
in one compiled program, whose weights are arguments. What is shown afterwards is what was learned; whether each setting
did what its name says is checked against the results.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from puzzlebox.algorithms.presets import preset
from puzzlebox.envs.six_terms import TERMS, Weights
from puzzlebox.evaluation.world_evaluation import Played, play_episodes
from puzzlebox.pictures.page import Check
from puzzlebox.runs import checkpoint
from puzzlebox.runs.agents import Agents
from puzzlebox.runs.build import build
from puzzlebox.runs.configure import configure
from puzzlebox.runs.directory import Run, check_free, write_json
from puzzlebox.runs.progress import TrainingProgress
from puzzlebox.scale import backend
from puzzlebox.studies.reward_lab import page as reward_lab_page
from puzzlebox.studies.reward_lab.films import films
from puzzlebox.training.train import shortest
from puzzlebox.types import State

LEVEL = "platformer/level-1"
WALL = 1.5  # tiles from the start of level 1 to the foot of its wall
POINTS = 50  # of the curves
QUICK = {"steps": 300_000}
EPISODES = 20


class Setting(NamedTuple):
    """One weighting. ``claim`` is what it should lead to, ``holds`` whether the figures of a setting agree."""

    title: str
    weights: Weights
    why: str
    claim: str
    holds: Callable[[dict[str, Any]], bool]


SETTINGS = {
    "rings-and-lives": Setting(
        "Rings and lives weigh too much",
        Weights(progress=0.1, speed=0.0, new_area=0.0, rings=10.0, life_lost=100.0, complete=10.0),
        "Every step away from safety may cost a life, which weighs more than all there is to gain.",
        "hardly moves: less than a tenth of its top speed, and it never leaves the first room",
        lambda f: f["tiles_per_second"] < 1.0 and f["completion_rate"] == 0 and f["furthest_x"] < WALL + 2,
    ),
    "progress": Setting(
        "Progress to the right weighs too much",
        Weights(progress=1.0, speed=0.0, new_area=0.0, rings=0.05, life_lost=1.0, complete=10.0),
        "The run-up begins with steps to the left, each of which costs at once.",
        "stays at the wall: no agent gets past it",
        lambda f: f["completion_rate"] == 0 and f["furthest_x"] < WALL + 2,
    ),
    "speed": Setting(
        "Only speed is paid",
        Weights(progress=0.0, speed=1.0, new_area=0.0, rings=0.0, life_lost=0.0, complete=0.0),
        "Running pays wherever it leads, and the goal would end the pay.",
        "runs to and fro: it turns round at least 8 times in an episode and never completes the level",
        lambda f: f["turns"] >= 8 and f["completion_rate"] == 0,
    ),
    "new-area": Setting(
        "With the bonus for new areas",
        Weights(),
        "What was not seen yet pays on both sides, so that the way back for a run-up is worth going.",
        "completes the level in at least 90% of the episodes",
        lambda f: f["completion_rate"] >= 0.9,
    ),
}


def reward_lab(
    *, quick: bool = False, seeds: int | None = None, seed: int = 0, run: str | Path | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Trains every setting with ``seeds`` agents, films them, writes ``index.html`` and ``summary.json`` into ``run``.

    Every setting is a run directory of its own inside ``run``. Per setting: ``completion_rate``, ``furthest_x`` (tiles
    right of the start), ``shares`` (of each term in all that was paid or taken, signs dropped), ``paid``, ``turns`` and
    ``tiles_per_second``, all of greedy episodes, means over seeds; ``by_seed`` has them singly. Raises UsageError
    before anything compiles.
    """
    seeds = (2 if quick else 5) if seeds is None else seeds
    path = Path(run) if run is not None else Path("runs") / f"reward-lab-{time.strftime('%Y%m%d-%H%M%S')}"
    check_free(path)
    backend.prepare()
    values = QUICK if quick else {}
    configs = {
        name: configure("ppo", world_name(setting.weights), seeds, seed, dict(preset("ppo", LEVEL) | values))
        for name, setting in SETTINGS.items()
    }
    began = time.perf_counter()
    runs = {name: open_run(path / name, config) for name, config in configs.items()}
    agents = all_agents(configs)
    state, seconds, compile_seconds = train(agents, runs, quiet)
    played = play_episodes(agents, state, greedy=True, episodes=EPISODES, seed=seed)
    time_limit = agents.algorithm.env.time_limit
    found = {
        name: figures(_of(played, slice(i * seeds, (i + 1) * seeds)), time_limit) for i, name in enumerate(SETTINGS)
    }
    checks = {name: Check(f"{s.title}: {s.claim}", s.holds(found[name])) for name, s in SETTINGS.items()}
    first = next(iter(configs.values()))
    summary: dict[str, Any] = {
        "world": LEVEL,
        "algorithm": "ppo",
        "seeds": seeds,
        "steps": first["steps"],
        "episodes": EPISODES,
        "quick": quick,
        "settings": {
            name: {"title": setting.title, "why": setting.why, "weights": dataclasses.asdict(setting.weights)}
            | found[name]
            | {"claim": setting.claim, "holds": checks[name].holds}
            for name, setting in SETTINGS.items()
        },
        "training_seconds": round(seconds, 1),
        "compile_seconds": round(compile_seconds, 1),
        "page": str(path / "index.html"),
        "run": str(path),
    }
    chosen = {name: i * seeds + median(found[name]["by_seed"]["furthest_x"]) for i, name in enumerate(SETTINGS)}
    filmed = films(agents, state, chosen, seed, quick)
    reward_lab_page.write(path, summary, runs, filmed, list(checks.values()), began)
    summary["seconds"] = round(time.perf_counter() - began, 1)
    write_json(path / "summary.json", summary)
    return summary


def world_name(weights: Weights) -> str:
    """The level with these weights, as a name that any command takes."""
    return ",".join([LEVEL, *(f"{name}={getattr(weights, name):g}" for name in TERMS)])


def open_run(path: Path, config: dict[str, Any]) -> Run:
    record = {"versions": backend.versions(), "hardware": backend.hardware(), "episodes": EPISODES, "minutes": None}
    return Run.create(path, config | record)


def all_agents(configs: dict[str, dict[str, Any]]) -> Agents:
    """The agents of all settings as one program, whose weights are swept."""
    first = build(next(iter(configs.values())))
    columns = [setting.weights for setting in SETTINGS.values() for _ in first.seeds]
    swept = {name: np.array([getattr(weights, name) for weights in columns]) for name in TERMS}
    return Agents(first.algorithm, first.seeds * len(configs), swept, with_weights)


def with_weights(algorithm: Any, **weights: Any) -> Any:
    """``algorithm`` in the same world with another reward."""
    env = dataclasses.replace(algorithm.env, weights=Weights(**weights))
    return dataclasses.replace(algorithm, env=env)


def train(agents: Agents, runs: dict[str, Run], quiet: bool) -> tuple[State, float, float]:
    """Trains all agents to the end; metrics and the last checkpoint go to the run of each setting."""
    first = next(iter(runs.values()))
    seeds, total = first.config["seeds"], first.config["steps"]
    iterations = total // agents.algorithm.iteration_steps
    each = max(1, iterations // POINTS)
    began = time.perf_counter()
    with TrainingProgress("four weightings", total, agents.num_agents, quiet) as bar:
        state = agents.start()
        advance = agents.compile(state)
        jax.block_until_ready(state)
        compiled = time.perf_counter()
        steps = 0
        while iterations:
            count = min(each, iterations)
            state, metrics = advance(agents.swept, state, np.int32(count))
            iterations -= count
            steps += count * agents.algorithm.iteration_steps
            row = {name: [shortest(v) for v in values] for name, values in jax.device_get(metrics).items()}
            seconds = time.perf_counter() - compiled
            for i, run in enumerate(runs.values()):
                own = {name: values[i * seeds : (i + 1) * seeds] for name, values in row.items()}
                run.append_metrics({"steps": steps, "seconds": round(seconds, 3)} | own)
            bar.update(steps, steps * agents.num_agents / seconds, row)
    for i, run in enumerate(runs.values()):
        own_state = jax.tree.map(lambda leaf, i=i: leaf[i * seeds : (i + 1) * seeds], state)
        checkpoint.save(run.checkpoints, steps, own_state, {"steps": steps, "seconds": seconds})
    return state, seconds, compiled - began


def _of(played: Played, part: slice) -> Played:
    measures = {name: values[part] for name, values in played.measures.items()}
    return Played(played.returns[part], played.lengths[part], measures, 0)


def figures(played: Played, time_limit: int) -> dict[str, Any]:
    """What the agents of one setting did and what each term paid them, from leaves ``[A, episodes]``."""
    means = {name: values.mean(axis=1) for name, values in played.measures.items()}
    paid = {name: float(means[name].mean()) for name in TERMS}
    whole = sum(abs(value) for value in paid.values())
    speed = 10 * played.measures["distance"] / played.lengths  # ten decisions a second
    by_seed = {
        "completion_rate": means["success"],
        "furthest_x": means["furthest_x"],
        "turns": means["turns"],
        "tiles_per_second": speed.mean(axis=1),
        "return": played.returns.mean(axis=1),
    }
    return {
        **{name: float(values.mean()) for name, values in by_seed.items()},
        "paid": paid,
        "shares": {name: abs(value) / whole if whole else 0.0 for name, value in paid.items()},
        "lengths": float(played.lengths.mean()),
        "time_limit": time_limit,
        "by_seed": {name: [round(float(v), 3) for v in values] for name, values in by_seed.items()},
    }


def median(values: list[float]) -> int:
    """The number of the agent in the middle: a typical one, not the best."""
    return int(np.argsort(values, kind="stable")[len(values) // 2])


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The same for a person."""
    out = []
    for setting in summary["settings"].values():
        shares = sorted(setting["shares"].items(), key=lambda item: -item[1])
        told = ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in shares if share >= 0.005)
        out += [
            f"{'✓' if setting['holds'] else '✗'} {setting['title']}: {setting['claim']}",
            f"    completed {setting['completion_rate']:.0%}, furthest {setting['furthest_x']:.1f} tiles, "
            f"{setting['tiles_per_second']:.1f} tiles/s, {setting['turns']:.0f} turns; paid by {told or 'nothing'}",
        ]
    return [*out, f"took {summary['seconds']:.0f} s; the page: {summary['page']}"]
