"""Every algorithm on the same model, data and seeds in one table: accuracy, and wins over the model they began with.

Each is trained in a run directory of its own below ``run``; one that is there is not trained again, so a stopped league
goes on where it was. ``table.json``, ``table.md`` and a picture of the accuracies are written beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from puzzlebox.algorithms import algorithm_class, of_language
from puzzlebox.data.text_worlds import is_text, make_text
from puzzlebox.errors import UsageError, unknown
from puzzlebox.evaluation.judges import verifier
from puzzlebox.evaluation.language_evaluation import accuracy_figures, judged, verifies
from puzzlebox.evaluation.report import plural
from puzzlebox.evaluation.subjects import Subject, open_subject
from puzzlebox.evaluation.winrate import meet
from puzzlebox.fields import params
from puzzlebox.pictures import figures
from puzzlebox.runs import checkpoint
from puzzlebox.runs.configure import configure
from puzzlebox.runs.directory import Run, write_json, write_text
from puzzlebox.scale import backend
from puzzlebox.training.train import resume, train
from puzzlebox.types import Example, Task

DEFAULT = ("grpo", "rloo", "remax", "ppo_lm", "dpo", "ipo", "kto", "online_dpo", "spin", "star")
HEADINGS = ("algorithm", "accuracy", "95% interval", "wins over start", "95% interval", "s per seed")


def league(
    task: str,
    *,
    model: str,
    algorithms: Sequence[str] = DEFAULT,
    seeds: int = 3,
    run: str | Path = "runs/league",
    episodes: int = 100,
    hyperparameters: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
    quiet: bool = False,
) -> dict[str, Any]:
    """Trains ``algorithms`` on ``task`` from ``model`` with the same seeds, evaluates all alike; returns the table.

    ``episodes`` are held-out problems. ``hyperparameters`` (``steps``, ``learning_rate`` …), or pairs of name and
    value, go to every algorithm that has them. Raises UsageError for an unknown task or algorithm, a task without
    verifier, and a hyper-parameter that none of the algorithms has, before training.
    """
    backend.prepare(language=True)
    folder = Path(run)
    if not is_text(task):
        raise UsageError(f"'{task}' is no language task; see: puzzlebox list")
    made = make_text(task)
    if not verifies(made):
        raise UsageError(f"{task} has no verifier, which a table of accuracies needs")

    # check everything before anything trains
    requests = plan(task, model, algorithms, seeds, dict(hyperparameters))

    # the model they all begin with is the first row
    examples = made.examples("test", episodes, 0)
    start = open_subject(model)
    first = start.model(0)
    begin = Subject(model, "", 1, lambda agent: first)
    rows = [row("start", begin, made, examples, None)]

    # train and judge one after another; the table is written after each, so a league that is stopped keeps its rows
    for name, values in requests.items():
        path = folder / name
        summary = train_once(name, task, seeds, path, episodes, quiet, values)
        result = row(name, open_subject(path), made, examples, begin)
        result["seconds"] = summary["seconds"] / seeds
        rows.append(result)
        figures_now = {"task": task, "model": model, "seeds": seeds, "problems": len(examples), "rows": rows}
        write_json(folder / "table.json", figures_now)
        write_text(folder / "table.md", markdown(figures_now))

    # draw
    pictures = figures.save(picture(rows, f"{task}, {seeds} seeds"), folder / "accuracy")
    return figures_now | {"run": str(folder), "pictures": [str(path) for path in pictures]}


def plan(
    task: str, model: str, algorithms: Sequence[str], seeds: int, options: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """The hyper-parameters of every algorithm, each of ``options`` given to those that have it.

    Raises UsageError for an algorithm that trains no language model, for values it does not accept, and for an option
    that none of them has.
    """
    if not algorithms:
        raise UsageError("algorithms is empty; name some: --algorithms grpo,dpo")
    requests: dict[str, dict[str, Any]] = {}
    used: set[str] = set()
    for name in algorithms:
        kind = algorithm_class(name)
        if not of_language(name):
            raise UsageError(f"{name} trains no language model; leave it out of the league")
        values = {option: value for option, value in options.items() if option in params(kind)}
        used |= set(values)
        requests[name] = values | {"model": model}
        configure(name, task, seeds, 0, requests[name])
    for option in options:
        if option not in used:
            raise unknown(
                "hyper-parameter of these algorithms", option, {n for a in requests for n in params(algorithm_class(a))}
            )
    return requests


def train_once(
    name: str, task: str, seeds: int, path: Path, problems: int, quiet: bool, values: dict[str, Any]
) -> dict[str, Any]:
    """The summary of the run at ``path``, which is made, finished or only read. Raises UsageError for another run."""
    if not (path / "config.json").is_file():
        return train(name, task, seeds=seeds, run=path, episodes=problems, quiet=quiet, **values)
    opened = Run.open(path)
    wanted = configure(name, task, seeds, 0, values)
    for part in ("algorithm", "env", "seeds", "steps"):
        if opened.config[part] != wanted[part]:
            raise UsageError(
                f"{path} was made with {part} {opened.config[part]}, not {wanted[part]}; choose another --run"
            )
    changed = [n for n, v in wanted["hyperparameters"].items() if opened.config["hyperparameters"].get(n) != v]
    if changed:
        raise UsageError(f"{path} was made with another {changed[0]}; choose another --run")
    finished = (path / "summary.json").is_file() and checkpoint.list_checkpoints(opened.checkpoints)
    return opened.summary() if finished else resume(path, quiet=quiet)


def row(name: str, subject: Subject, task: Task, examples: Sequence[Example], start: Subject | None) -> dict[str, Any]:
    """One line of the table: accuracy on ``examples``, and wins over ``start`` (None in the row of the start)."""
    correct, rewards, _ = judged(subject, task, examples, 0, 1, 0.0, 0)
    found: dict[str, Any] = {"algorithm": name} | accuracy_figures(correct, rewards)
    if start is not None:
        met = meet(subject, start, task, examples, verifier(task))
        names = ("win_rate", "win_rate_ci", "length_controlled_win_rate", "wins", "ties", "losses")
        found |= {key: met[key] for key in names}
    return found


def cells(line: dict[str, Any]) -> list[str]:
    """A line of the table as people read it."""
    span = lambda ci: f"{100 * ci[0]:.1f}–{ci[1]:.1%}"  # noqa: E731
    texts = [line["algorithm"], f"{line['accuracy']:.1%}", span(line["accuracy_ci"])]
    if "win_rate" not in line:
        return [*texts, "", "", ""]
    return [*texts, f"{line['win_rate']:.1%}", span(line["win_rate_ci"]), f"{line['seconds']:.0f}"]


def markdown(table: dict[str, Any]) -> str:
    """The table as Markdown, under a line that says what was held equal."""
    lines = [
        f"{table['task']}, {table['seeds']} seeds, {table['problems']} held-out problems, from {table['model']}",
        "",
    ]
    lines += ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(cells(line)) + " |" for line in table["rows"]]
    return "\n".join(lines) + "\n"


def summary_lines(table: dict[str, Any]) -> list[str]:
    """The table for a person, as wide and in the colours that standard output can show."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=f"{table['task']}: {table['problems']} held-out problems, {plural(table['seeds'], 'seed')}")
    for heading in HEADINGS:
        shown.add_column(heading, justify="left" if heading == "algorithm" else "right", no_wrap=True)
    for line in table["rows"]:
        shown.add_row(*cells(line))
    console = Console()
    with console.capture() as written:
        console.print(shown)
    return [*written.get().splitlines(), str(Path(table["run"]) / "table.md"), *table["pictures"]]


def picture(rows: Sequence[dict[str, Any]], title: str) -> figures.Figure:
    """Accuracies with their intervals; a dot is one seed."""
    from matplotlib.figure import Figure

    with figures.style():
        figure = Figure(figsize=(7.5, 1.2 + 0.42 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for i, line in enumerate(rows):
            low, high = line["accuracy_ci"]
            colour = figures.COLOURS[i % len(figures.COLOURS)]
            axes.barh(i, high - low, left=low, height=0.5, color=colour, alpha=0.35, lw=0)
            axes.vlines(line["accuracy"], i - 0.25, i + 0.25, color=colour, lw=2.5)
            axes.plot(line["accuracies"], np.full(len(line["accuracies"]), i), "o", color=colour, ms=4, alpha=0.8)
        axes.set_yticks(range(len(rows)), [line["algorithm"] for line in rows])
        axes.invert_yaxis()
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("accuracy on held-out problems, 95% interval")
        axes.set_title(title)
    return figure
