"""From a config to agents, and from a name to a language model.

Both live in one file because they need each other: a run may start from a model that is itself a run, and to open that
one is to build it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from puzzlebox.acting.judge import Judge, with_judge
from puzzlebox.algorithms import algorithm_class, of_games, of_language
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.text_worlds import is_text, make_text
from puzzlebox.envs import make
from puzzlebox.envs.text import TASKS
from puzzlebox.errors import UsageError, unknown
from puzzlebox.fields import params
from puzzlebox.runs import checkpoint
from puzzlebox.runs.agents import Agents
from puzzlebox.runs.directory import Run
from puzzlebox.runs.inputs import check_trusted, located
from puzzlebox.runs.language_agents import LanguageAgents
from puzzlebox.runs.pretrained import NEW, from_directory, from_gguf, is_run, merged, new_model, read_options
from puzzlebox.types import Game

ADDED = {
    "alphazero": {"start": ""},
    "muzero": {"symmetries": False},
}  # newer than the first runs, which were like this


def build(config: dict[str, Any]) -> Agents | LanguageAgents:
    """The agents that a config describes; whether they are `Agents` or `LanguageAgents` is decided here.

    Raises UsageError where the algorithm's hyper-parameters are not those the config was written with, which happens
    to a run of another version, and whatever `make_instance` raises.
    """
    algorithm = config["algorithm"]
    fields = params(algorithm_class(algorithm))
    values = ADDED.get(algorithm, {}) | config["hyperparameters"]
    if set(values) != set(fields):
        changed = ", ".join(sorted(set(values) ^ set(fields)))
        raise UsageError(f"this run was made by another version of {algorithm}: it differs in {changed}")
    # JSON has no tuples
    values = {n: tuple(v) if isinstance(fields[n].default, tuple) else v for n, v in values.items()}
    instance = make_instance(algorithm, config["env"], values)
    seeds = [agent["seed"] for agent in config["agents"]]
    if of_language(algorithm):
        return LanguageAgents(instance, seeds)
    return Agents(instance, seeds, {n: np.array([a[n] for a in config["agents"]]) for n in config["sweep"]})


def build_run(run: Run) -> Any:
    """The agents of a run, from its own copies of the files it was made from.

    Raises UsageError where a file is missing, and for code that the run brings along and nobody trusts (`inputs`).
    """
    config = located(run.config, run.path)
    check_trusted(config, run.path)
    return build(config)


def make_instance(algorithm: str, env: str, values: dict[str, Any]) -> Any:
    """The algorithm on its world, or on its language task with the model it starts from.

    Raises UsageError for a game with an algorithm that plays none, and for a world, task or model that does not exist.
    """
    kind = algorithm_class(algorithm)
    if of_language(algorithm):
        model = values.get("model", params(kind)["model"].default)
        task = make_text(env)
        if values.get("reward_model"):
            task = with_judge(task, load_judge(values["reward_model"]))
        return kind(env=task, start=load_model(model), **values)
    world = make(env)
    if isinstance(world, Game) and not of_games(algorithm):
        raise UsageError(f"{env} is a game, which {kind.__name__} does not learn; train alphazero (or muzero) on it")
    return kind(env=world, **values)


def check_kind(algorithm: str, env: str) -> None:
    """Raises UsageError where a language algorithm gets a world, or another algorithm a language task."""
    if is_text(env) and not of_language(algorithm):
        raise UsageError(f"{env} is a task for language models, which {algorithm} does not train; see: puzzlebox list")
    if of_language(algorithm) and not is_text(env):
        base = env.partition(",")[0]
        raise unknown("language task", base, [*TASKS, "reasoning:NAME", "FILE.jsonl"])


def load_model(name: str) -> LanguageModel:
    """The language model called ``name``, adapters merged; raises UsageError when there is none or it is unreadable.

    ``new``, with options after commas: a small decoder with random weights that reads bytes. A run directory, with
    ``,agent=1`` for another than its first agent: what was trained there.
    """
    checkpoints = Path(name.partition(",")[0]) / "checkpoints"
    return _load(name, checkpoints.stat().st_mtime_ns if checkpoints.is_dir() else 0)


@lru_cache(maxsize=2)
def _load(name: str, _changed: int) -> LanguageModel:
    """`load_model`, cached; ``_changed`` only makes a run that has trained further a new entry of the cache."""
    base, *settings = name.split(",")
    if base == "new":
        return new_model(read_options(name, settings, NEW))
    if base == "smollm2":
        from puzzlebox.runs.fetch import smollm2

        return from_gguf(smollm2())
    path = Path(base)
    if path.suffix == ".gguf":
        return from_gguf(path)
    if is_run(path):
        return from_run(path, read_options(name, settings, {"agent": 0})["agent"])
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        return from_adapter(path)
    if path.is_dir():
        return from_directory(path)
    raise UsageError(
        f"there is no model '{name}'; name a run directory, a Hugging Face directory, a .gguf file, smollm2, or new"
    )


def from_adapter(path: Path) -> LanguageModel:
    """A PEFT directory, merged into the model that it names as its base."""
    from puzzlebox.data.huggingface import read_json
    from puzzlebox.data.peft import load_adapter

    base = str(read_json(path, "adapter_config.json").get("base_model_name_or_path") or "")
    if not Path(base).exists() and base != "smollm2":
        raise UsageError(
            f"{path} adapts the model '{base}', which is not here; write the directory that holds it into "
            f"base_model_name_or_path of {path / 'adapter_config.json'}"
        )
    model = load_model(base)
    return LanguageModel(merged(load_adapter(model.decoder, path)), model.tokenizer)


def from_run(path: Path, agent: int, merge: bool = True) -> LanguageModel:
    """What one agent of a run has become; without ``merge`` its adapters stay apart from the weights."""
    model, algorithm = trained(path, agent)
    if not isinstance(model, LanguageModel):
        raise UsageError(f"{path} is a run of {algorithm}, which trains no language model")
    return LanguageModel(merged(model.decoder), model.tokenizer) if merge else model


@lru_cache(maxsize=2)
def load_judge(name: str) -> Judge:
    """The reward model in a run directory, with ``,agent=1`` for another than its first agent; raises UsageError."""
    base, *settings = name.split(",")
    path = Path(base)
    if not is_run(path):
        raise UsageError(f"reward_model is '{name}', which is no run directory; make one: puzzlebox train reward_model")
    judge, algorithm = trained(path, read_options(name, settings, {"agent": 0})["agent"])
    if not isinstance(judge, Judge):
        raise UsageError(f"reward_model is '{name}', a run of {algorithm}, which trains no reward model")
    return judge


def trained(path: Path, agent: int) -> tuple[Any, str]:
    """The policy of one agent of a run of a language algorithm, from its newest checkpoint; the algorithm's name."""
    run = Run.open(path)
    if run.family != "language":
        raise UsageError(f"{path} is a run of {run.config['algorithm']}, which trains no language model")
    agents = build_run(run)
    assert isinstance(agents, LanguageAgents)
    if agent >= agents.num_agents:
        raise UsageError(f"agent is {agent}, but {path} has agents 0 to {agents.num_agents - 1}")
    state, _, _ = checkpoint.load_newest(run.checkpoints, agents.shapes())
    return agents.policy(state, agent), run.config["algorithm"]
