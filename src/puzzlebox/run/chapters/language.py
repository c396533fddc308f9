"""A language model as a policy: a token is an action, a sentence a trajectory. From nothing to a verifier's reward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from puzzlebox.data.text_worlds import make_text
from puzzlebox.run.chapters import Chapter, Context, command
from puzzlebox.run.page import Check, Equation, Picture, Row, Table, Tile
from puzzlebox.run.rlhf import SMALL, answers
from puzzlebox.run.train import train
from puzzlebox.run.winrate import winrate

MISTAKEN = "arith,level=precedence,mistakes=0.8"
TASK = "arith,level=precedence"
SFT: dict[str, Any] = {"model": SMALL, "steps": 1000, "learning_rate": 3e-3, "batch_size": 16}
GRPO: dict[str, Any] = {"steps": 60, "learning_rate": 2e-4, "num_prompts": 32, "num_minibatches": 4}
PROBLEMS, SHOWN = 400, 8
MARKS = {True: "✓", False: "✗"}


def language(context: Context) -> Chapter:
    """SFT on imperfect demonstrations, then GRPO with a calculator as the judge; both answer new problems."""
    sft, grpo = context.folder / "sft", context.folder / "grpo"
    before = train("sft", MISTAKEN, run=sft, episodes=PROBLEMS, **SFT)
    after = train("grpo", TASK, run=grpo, model=str(sft), episodes=PROBLEMS, **GRPO)
    preferred = winrate(str(grpo), str(sft), task=TASK, problems=PROBLEMS)
    low, high = preferred["win_rate_ci"]
    table = answers(make_text(TASK), {"before": str(sft), "after": str(grpo)}, seed=0)[:SHOWN]
    rows = [[r["prompt"], *(f"{r[n]} {MARKS[r[f'{n}_correct']]}" for n in ("before", "after"))] for r in table]
    return Chapter(
        headline=f"right answers {before['accuracy']:.0%} → {after['accuracy']:.0%}; against the SFT model "
        f"{preferred['win_rate']:.0%} won ({low:.0%} to {high:.0%})",
        blocks=[
            "A language model is a policy: what was written so far is the state, the next token is the action, a whole "
            "answer is a trajectory. This one has two layers and starts from random numbers. It reads `3+4*2=` and "
            "writes its steps and the result, `4*2=8,3+8=11#11`.",
            "First it imitates demonstrations (SFT). As on the web, many of them are wrong: four in five calculate "
            "from left to right. Then it answers every problem eight times and a calculator says which answers are "
            "right (GRPO): what beats the average of its eight becomes more probable. The loss is PPO's, as for the "
            "pole above; the group takes the place of the critic.",
            Equation(
                "A = ( r − mean of the group ) / std of the group\n"
                "L = − min( ρ A, clip(ρ, 1 − ε, 1 + ε) A ),   ρ = π(token | text so far) / π_old(token | text so far)",
                "r is 1 for a right answer and 0 for any other; every token of an answer gets the same A.",
            ),
            Row([_curve(sft, "SFT: the loss per token"), _curve(grpo, "GRPO: the share of right answers, sampled")]),
            Table(["problem", "after SFT", "after GRPO"], rows, "New problems, likeliest answers."),
        ],
        checks=[
            Check(
                f"GRPO's answers beat those of the SFT model: {preferred['win_rate']:.1%} won, interval above one half",
                low > 0.5,
            ),
        ],
        protocol=f"One seed; {PROBLEMS} problems that were never trained on; likeliest answers, judged by a "
        "calculator, ties count half; 95% bootstrap interval over problems.",
        commands=[
            command("sft", MISTAKEN, run="runs/sft", **SFT),
            command("grpo", TASK, model="runs/sft", run="runs/grpo", **GRPO),
            f"puzzlebox winrate runs/grpo runs/sft --task {TASK}",
        ],
        figures={"accuracy_before": before["accuracy"], "accuracy_after": after["accuracy"], "winrate": preferred},
        tiles=[
            Tile(
                f"{before['accuracy']:.0%} → {after['accuracy']:.0%}",
                "right answers of a language model, before and after it learned from a verifier",
            )
        ],
    )


def _curve(run: Path, alt: str) -> Picture:
    return Picture(run / "learning_curve.svg", alt, f"{alt}.")
