"""RLHF in one command: the four phases that made InstructGPT (Ouyang et al. 2022, arXiv 2203.02155).

1. SFT: the model learns to answer from demonstrations.
2. A reward model learns from comparisons which of two answers is better.
3. PPO raises the learned reward, and pays for leaving the SFT model behind.
4. The result and the SFT model answer the same held-out prompts; which answers are preferred?

Each phase is a run of `train` in a directory of its own, so it can be looked at, evaluated and resumed like any other.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from puzzlebox.algorithms import algorithm_class
from puzzlebox.data.language_model import printable
from puzzlebox.data.text_worlds import make_text
from puzzlebox.errors import UsageError
from puzzlebox.evaluation.language_evaluation import answer
from puzzlebox.fields import params
from puzzlebox.runs.build import load_model
from puzzlebox.runs.directory import check_free, write_json
from puzzlebox.runs.progress import say
from puzzlebox.scale import backend
from puzzlebox.training.train import train
from puzzlebox.types import Task

TASK = "arith,level=precedence,mistakes=0.6"  # demonstrations of mixed quality, so that there is something to prefer
SMALL = "new,layers=2,width=64,hidden=192"
# What a small model from nothing needs; larger ones start from their own knowledge, with the algorithms' defaults.
FROM_NOTHING: dict[str, dict[str, Any]] = {
    "sft": {"steps": 2000, "learning_rate": 3e-3, "batch_size": 16, "num_examples": 30_000},
    "reward_model": {"steps": 200, "learning_rate": 1e-3, "num_prompts": 800, "batch_size": 32},
    "ppo_lm": {"steps": 50, "num_prompts": 64, "learning_rate": 1e-4, "kl_coef": 0.2},
}
SHOWN = 12  # answers in the table


def rlhf(
    task: str = TASK,
    *,
    model: str = SMALL,
    run: str | Path | None = None,
    seed: int = 0,
    seeds: int = 1,
    quick: bool = False,
    sft_steps: int = 0,
    reward_steps: int = 0,
    ppo_steps: int = 0,
    judge: str = "verifier",
    episodes: int = 100,
) -> dict[str, Any]:
    """All four phases of ``task`` from ``model``; returns the figures, and writes them to ``RUN/rlhf.json``.

    ``…_steps`` 0 takes the usual number, ``quick`` a fifth of it. ``judge`` says who prefers (see `winrate`). Later
    phases start from seed ``seed`` of the phase before and train ``seeds`` agents. Raises UsageError before anything
    compiles.
    """
    from puzzlebox.evaluation.winrate import winrate

    # check
    path = Path(run) if run is not None else Path("runs") / f"rlhf-{time.strftime('%Y%m%d-%H%M%S')}"
    check_free(path)
    for name, steps in (("sft_steps", sft_steps), ("reward_steps", reward_steps), ("ppo_steps", ppo_steps)):
        if steps < 0:
            raise UsageError(f"{name} is {steps}; it must be at least 1, or 0 for the usual number")
    settings = phase_settings(model, quick, {"sft": sft_steps, "reward_model": reward_steps, "ppo_lm": ppo_steps})
    world = make_text(task)
    backend.prepare(language=True)

    # train, in three runs: the two later ones start from the model of the first
    common: dict[str, Any] = {"seed": seed, "episodes": episodes}
    places = {name: path / name for name in settings}
    began = time.perf_counter()
    say("1 of 4: SFT, from demonstrations")
    before = train("sft", task, run=places["sft"], model=model, **common, **settings["sft"])
    start = str(places["sft"])
    say("2 of 4: a reward model, from comparisons")
    train("reward_model", task, run=places["reward_model"], model=start, **common, **settings["reward_model"])
    say("3 of 4: PPO against the reward model")
    after = train(
        "ppo_lm",
        task,
        run=places["ppo_lm"],
        model=start,
        reward_model=str(places["reward_model"]),
        seeds=seeds,
        **common,
        **settings["ppo_lm"],
    )

    # compare
    say("4 of 4: which answers are preferred?")
    preferred = winrate(places["ppo_lm"], places["sft"], task=task, judge=judge, episodes=episodes, seed=seed)
    table = answers(world, {"before": start, "after": str(places["ppo_lm"])}, seed)

    # save
    figures = {
        "task": task,
        "model": model,
        "seeds": seeds,
        "accuracy_before": before.get("accuracy"),
        "accuracy_after": after.get("accuracy"),
        "winrate": preferred,
        "answers": table,
        "runs": {name: str(place) for name, place in places.items()},
        "seconds": round(time.perf_counter() - began, 1),
        "run": str(path),
    }
    write_json(path / "rlhf.json", figures)
    (path / "answers.md").write_text("\n".join(markdown(table)) + "\n", encoding="utf-8")
    return figures


def phase_settings(model: str, quick: bool, steps: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The hyper-parameters of each phase; ``steps`` other than 0 replace the usual number."""
    usual = FROM_NOTHING if model.partition(",")[0] == "new" else {name: {} for name in FROM_NOTHING}
    settings = {}
    for name, values in usual.items():
        number = values.get("steps", params(algorithm_class(name))["steps"].default)
        settings[name] = values | {"steps": steps[name] or (max(1, number // 5) if quick else number)}
    return settings


def answers(task: Task, models: dict[str, str], seed: int) -> list[dict[str, Any]]:
    """The same held-out prompts answered by each model: rows of prompt, answers and whether they are right."""
    examples = [example for example in task.examples("test", SHOWN, seed) if example.prompt]
    rows: list[dict[str, Any]] = [{"prompt": shown(example.prompt)} for example in examples]
    for name, path in models.items():
        model = load_model(path)
        prompts = [model.format_prompt(example.prompt, task.chat) for example in examples]
        for row, example, text in zip(rows, examples, answer(model, prompts, task.max_tokens), strict=True):
            row[name] = text
            row[f"{name}_correct"] = bool(task.correct(example, text))
    return rows


def shown(prompt: Any) -> str:
    """A prompt for the table; of a conversation the last message."""
    return prompt if isinstance(prompt, str) else str(prompt[-1]["content"])


def markdown(table: list[dict[str, Any]]) -> list[str]:
    """The answers as a table, ✓ where a verifier accepts them."""

    def cell(text: str, mark: str = "") -> str:
        """A text on one line of at most 60 characters, safe in a Markdown table."""
        line = " ".join(printable(text).replace("|", "\\|").split())
        return (line if len(line) <= 60 else f"{line[:57]}…") + mark

    lines = ["| prompt | before (SFT) | after (RLHF) |", "|---|---|---|"]
    for row in table:
        marks = [" ✓" if row[f"{name}_correct"] else " ✗" for name in ("before", "after")]
        lines.append(f"| {cell(row['prompt'])} | {cell(row['before'], marks[0])} | {cell(row['after'], marks[1])} |")
    return lines


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a person."""
    preferred = figures["winrate"]
    low, high = preferred["win_rate_ci"]
    out = markdown(figures["answers"])
    if figures["accuracy_after"] is not None:
        out.append(f"accuracy on held-out problems: {figures['accuracy_before']:.1%} → {figures['accuracy_after']:.1%}")
    out.append(f"preferred to the SFT model: {preferred['win_rate']:.1%} (95% interval {low:.1%} to {high:.1%})")
    return [*out, f"took {figures['seconds']:.0f} s; runs: {figures['run']}"]
