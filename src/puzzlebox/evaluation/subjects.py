"""What is evaluated, judged or examined, by name: the agents of a run, or one model that is no run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from puzzlebox.acting.judge import Judge
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.errors import UsageError
from puzzlebox.runs import checkpoint
from puzzlebox.runs.build import load_model
from puzzlebox.runs.directory import Run
from puzzlebox.runs.language_agents import LanguageAgents
from puzzlebox.runs.pretrained import is_run
from puzzlebox.types import State


class Subject(NamedTuple):
    """What is evaluated: the agents of a run, or one model that is not a run.

    ``env``: the task it was trained on, "" for a plain model. ``model(i)``: the model of agent i. ``start``: the model
    that training started from. The rest is the run itself; like ``start``, it is None for a plain model.
    """

    name: str
    env: str
    num_agents: int
    model: Callable[[int], LanguageModel]
    start: LanguageModel | None = None
    run: Run | None = None
    agents: LanguageAgents | None = None
    state: State = None
    steps: int = 0


def open_subject(name: str | Path, judges: bool = False) -> Subject:
    """The run or model called ``name``; ``DIR,agent=1`` is one agent of a run as a plain model.

    Raises UsageError where there is none, also for a reward model unless ``judges``.
    """
    from puzzlebox.runs.build import build_run

    path = Path(name)
    if not is_run(path):
        model = load_model(str(name))
        return Subject(str(name), "", 1, lambda agent: model)
    run = Run.open(path)
    agents = build_run(run)
    if not isinstance(agents, LanguageAgents):
        raise UsageError(f"{path} is a run of {run.config['algorithm']}, which trains no language model")
    state, progress, _ = checkpoint.load_newest(run.checkpoints, agents.shapes())
    if not judges and isinstance(agents.policy(state, 0), Judge):
        raise UsageError(f"{path} is a run of {run.config['algorithm']}: it scores texts and writes none")
    start, env = agents.algorithm.start, run.config["env"]
    return Subject(
        str(name),
        env,
        agents.num_agents,
        lambda agent: agents.policy(state, agent),
        start,
        run,
        agents,
        state,
        progress["steps"],
    )


def writes(name: str | Path) -> bool:
    """Whether ``name`` is a language model, or a run that trains one."""
    path, base = Path(name), str(name).partition(",")[0]
    if is_run(path):
        return Run.open(path).family == "language"
    return base in ("new", "smollm2") or base.endswith(".gguf") or (Path(base) / "config.json").is_file()


def check_only_for_language(name: str | Path, asked: dict[str, bool]) -> None:
    """Raises UsageError where an option for language models was given (``asked``) for a run of something else."""
    for option, given in asked.items():
        if given and Path(name).exists():
            raise UsageError(f"--{option} is for language models, and {name} trains none; leave it out")
