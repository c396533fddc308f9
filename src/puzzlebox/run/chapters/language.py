"""A language model as a policy: a token is an action, a sentence a trajectory. RLHF in four phases, from nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from puzzlebox.run.chapters import Chapter, Context
from puzzlebox.run.directory import Run
from puzzlebox.run.page import Check, Equation, Picture, Row, Table, Tile
from puzzlebox.run.rlhf import SMALL, TASK, rlhf

PROBLEMS = 400
SHOWN = 8


def language(context: Context) -> Chapter:
    """SFT on imperfect demonstrations, a reward model, PPO with a KL penalty, and what is preferred."""
    found = rlhf(TASK, model=SMALL, run=context.folder / "rlhf", episodes=PROBLEMS)
    preferred, judge = found["winrate"], Run.open(found["runs"]["reward_model"]).summary()
    low, high = preferred["win_rate_ci"]
    before, after = found["accuracy_before"], found["accuracy_after"]
    marks = {True: "✓", False: "✗"}
    answers = [
        [row["prompt"], *(f"{row[name]} {marks[row[f'{name}_correct']]}" for name in ("before", "after"))]
        for row in found["answers"][:SHOWN]
    ]
    return Chapter(
        headline=f"right answers {before:.0%} → {after:.0%}, preferred to the SFT model in {preferred['win_rate']:.0%} "
        f"({low:.0%} to {high:.0%})",
        blocks=[
            "A language model is a policy: what was written so far is the state, the next token is the action, a whole "
            "answer is a trajectory. This one has two layers and starts from random numbers. It reads `3+4*2=` and "
            "writes its steps and the result, `4*2=8,3+8=11#11`.",
            "Phase 1, SFT: it imitates demonstrations. As on the web, many of them are wrong: four in five calculate "
            "from left to right. Phase 2: a reward model reads pairs of answers, learns which is the better one, and "
            "gives every answer a number. Phase 3: PPO, the same clipped loss as for the pole above, makes answers "
            "with a higher number more probable, and pays a price for leaving the SFT model behind. Phase 4: both "
            "models answer new problems, and the answers are compared.",
            Equation(
                "reward model   L = − log σ( r(better) − r(worse) )\n"
                "PPO            reward = r(answer) − β Σₜ log π(aₜ|sₜ) / π_SFT(aₜ|sₜ)",
                "β is the rubber band to the SFT model: without it the policy leaves the answers that the reward model "
                "can judge.",
            ),
            Row([_curve(found, "sft", "SFT: the loss"), _curve(found, "ppo_lm", "PPO: the learned reward")]),
            Table(["problem", "after SFT", "after RLHF"], answers, "New problems, likeliest answers."),
            f"The reward model puts the better of two new answers first in {judge['accuracy']:.0%} of cases.",
        ],
        checks=[
            Check(
                f"The reward model prefers the right answer in more than half of new pairs ({judge['accuracy']:.0%})",
                judge["accuracy_ci"][0] > 0.5,
            ),
            Check(
                f"RLHF's answers beat those of the SFT model: won {preferred['win_rate']:.0%}, interval above one half",
                low > 0.5,
            ),
        ],
        protocol=f"One seed; {PROBLEMS} problems that no phase trained on; likeliest answers, judged by a calculator, "
        "in both orders, ties count half; 95% bootstrap interval over problems.",
        commands=[f"puzzlebox rlhf {TASK} --run runs/rlhf", "puzzlebox winrate runs/rlhf/ppo_lm runs/rlhf/sft"],
        figures={name: found[name] for name in ("accuracy_before", "accuracy_after", "winrate")}
        | {"reward_model_accuracy": judge["accuracy"]},
        tiles=[Tile(f"{before:.0%} → {after:.0%}", "right answers of a language model, before and after RLHF")],
    )


def _curve(found: dict[str, Any], phase: str, alt: str) -> Picture:
    run = Run.open(found["runs"][phase])
    last = {name: np.mean(values) for name, values in run.metrics()[-1].items() if isinstance(values, list)}
    name = "reward" if "reward" in last else "loss"
    return Picture(run.path / "learning_curve.svg", alt, f"{alt}, at the end {last[name]:.2f}.")
