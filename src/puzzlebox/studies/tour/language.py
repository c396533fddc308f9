"""A language model as a policy: a token is an action, a sentence a trajectory. RLHF from nothing, and GRPO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from puzzlebox.data.text_worlds import make_text
from puzzlebox.evaluation.winrate import winrate
from puzzlebox.pictures.page import Check, Equation, Picture, Row, Table, Tile
from puzzlebox.studies.rlhf import answers, rlhf
from puzzlebox.studies.tour.chapter import Chapter, Context, command
from puzzlebox.training.train import train

TASK = "arith,level=precedence"
SFT_STEPS, GRPO_STEPS = 1400, 40
PROBLEMS, SHOWN = 400, 8
MARKS = {True: "✓", False: "✗"}


def language(context: Context) -> Chapter:
    """The four phases of RLHF on a small model, and GRPO with a calculator in the reward model's place."""
    figures = rlhf(run=context.folder / "rlhf", sft_steps=SFT_STEPS, episodes=PROBLEMS)
    sft, learned = figures["runs"]["sft"], figures["runs"]["ppo_lm"]
    grpo = context.folder / "grpo"
    after = train("grpo", TASK, run=grpo, model=sft, steps=GRPO_STEPS, episodes=PROBLEMS)
    verified = winrate(str(grpo), sft, task=TASK, episodes=PROBLEMS)
    accuracy = {
        "SFT": figures["accuracy_before"],
        "RLHF": figures["accuracy_after"],
        "GRPO": after["accuracy"],
    }
    models = {"SFT": sft, "RLHF": learned, "GRPO": str(grpo)}
    table = answers(make_text(TASK), models, seed=0)[:SHOWN]
    rows = [[row["prompt"], *(f"{row[name]} {MARKS[row[f'{name}_correct']]}" for name in models)] for row in table]
    return Chapter(
        headline="right answers: "
        + ", ".join(f"{name} {share:.0%}" for name, share in accuracy.items())
        + f"; RLHF preferred to SFT in {_span(figures['winrate'])}, GRPO in {_span(verified)}",
        blocks=[
            "A language model is a policy: what was written so far is the state, the next token is the action, a whole "
            "answer is a trajectory. This one has two layers and starts from random numbers. It reads `3+4*2=` and "
            "writes its steps and the result, `4*2=8,3+8=11#11`.",
            "RLHF has four phases. The model imitates demonstrations (SFT); as on the web, many are wrong: three in "
            "five add before they multiply. A reward model learns from comparisons which of two answers is better. PPO "
            "raises that reward and pays for leaving the SFT model behind. Then both answer new problems. The loss is "
            "the one of the pole above.",
            "Where a program can check answers, no reward model is needed: every problem is answered eight times, and "
            "what beats the average of its eight becomes more probable (GRPO). A learned reward can be fooled; a "
            "calculator cannot.",
            Equation(
                "PPO:   r = reward model(answer) − β log( π(token) / π_SFT(token) ),   A = GAE(r, V)\n"
                "GRPO:  A = ( r − mean of the group ) / std of the group\n"
                "both:  L = − min( ρ A, clip(ρ, 1 − ε, 1 + ε) A ),   ρ = π(token) / π_old(token)",
                "With GRPO r is 1 for a right answer, else 0, and every token of an answer gets the same A.",
            ),
            Row(
                [
                    _curve(Path(learned), "PPO: what the reward model gives"),
                    _curve(grpo, "GRPO: the share of right answers, sampled"),
                ]
            ),
            Table(["problem", *(f"after {name}" for name in models)], rows, "New problems, likeliest answers."),
        ],
        checks=[
            Check(
                f"{name} answers better than the SFT model: {found['win_rate']:.1%} won, interval above one half",
                found["win_rate_ci"][0] > 0.5,
            )
            for name, found in (("RLHF", figures["winrate"]), ("GRPO", verified))
        ],
        protocol=f"One seed; {PROBLEMS} problems that were never trained on; likeliest answers, judged by a "
        "calculator, ties count half; 95% bootstrap interval over problems.",
        commands=[
            f"puzzlebox rlhf --sft-steps {SFT_STEPS} --run runs/rlhf",
            command("grpo", TASK, model="runs/rlhf/sft", steps=GRPO_STEPS, run="runs/grpo"),
            f"puzzlebox winrate runs/grpo runs/rlhf/sft --task {TASK}",
        ],
        figures={"accuracy": accuracy, "winrate_rlhf": figures["winrate"], "winrate_grpo": verified},
        tiles=[
            Tile(
                f"{accuracy['SFT']:.0%} → {accuracy['GRPO']:.0%}",
                "right answers of a language model, before and after it learned from a verifier",
            )
        ],
    )


def _span(found: dict[str, Any]) -> str:
    low, high = found["win_rate_ci"]
    return f"{found['win_rate']:.0%} ({low:.0%} to {high:.0%})"


def _curve(run: Path, alt: str) -> Picture:
    return Picture(run / "learning_curve.svg", alt, f"{alt}.")
