"""Does one language model answer better than another? Both answer the same held-out prompts, and a judge compares.

Each pair is judged in both orders; a judge that prefers the same place in both has seen no difference: a tie, and a
tie counts half. The interval is that of `shares`.

Length control: judges like long answers. As in AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475) a logistic
regression P(A wins) = σ(a + b tanh(d/s)) explains wins by quality a and by the difference d of the answers' lengths in
characters (s its standard deviation); σ(a) is the win rate had both been equally long. Departures: no term for a
prompt's difficulty, which needs a third model; b has a Gaussian prior of standard deviation 1, as a guard where length
and victory go together perfectly, and one lost and one won comparison of weight ½ are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from puzzlebox.data.text_worlds import make_text, skipped_report, skipping_bad
from puzzlebox.errors import UsageError
from puzzlebox.evaluation.judges import Compare, make_judge
from puzzlebox.evaluation.language_evaluation import answer, short
from puzzlebox.evaluation.subjects import Subject, open_subject
from puzzlebox.scale import backend
from puzzlebox.stats.shares import interval
from puzzlebox.types import Example, Task

NEWTON_STEPS = 30


def winrate(
    a: str | Path,
    b: str | Path,
    *,
    task: str = "",
    skip_bad: bool = False,
    judge: str = "verifier",
    temperature: float = 0.0,
    episodes: int = 100,
    seed: int = 0,
) -> dict[str, Any]:
    """How often the agents of ``a`` answer better than those of ``b`` (runs or models; agent i meets agent i).

    ``task``: whose held-out prompts; by default that of ``a``, else of ``b``; ``episodes`` of them.
    ``skip_bad`` leaves the broken rows of a file out. Raises UsageError before anything compiles.
    """
    backend.prepare()
    task = skipping_bad(task) if skip_bad else task
    if episodes < 1:
        raise UsageError(f"episodes is {episodes}; it must be at least 1")
    if temperature < 0:
        raise UsageError(f"temperature is {temperature}; it must be at least 0")
    one, other = open_subject(a), open_subject(b)
    env = task or one.env or other.env
    if not env:
        raise UsageError(f"neither {a} nor {b} is a run, so say which prompts they shall answer: --task arith")
    if not task and one.env and other.env and one.env != other.env:
        raise UsageError(
            f"{a} was trained on {one.env}, {b} on {other.env}; say which prompts both shall answer: --task"
        )
    own = next(
        (s for s in (one, other) if s.agents and s.env == env and not task), None
    )  # the run has the file, where it is one
    made: Any = own.agents.algorithm.env if own and own.agents else make_text(env)
    compare = make_judge(judge, made)
    examples = [example for example in made.examples("test", episodes, seed) if example.prompt]
    if not examples:
        raise UsageError(f"{env} has no prompts to answer; name another --task")
    figures = meet(one, other, made, examples, compare, temperature, seed)
    head = {"a": str(a), "b": str(b), "task": env, "judge": judge, "temperature": temperature}
    return head | figures | skipped_report(made)


def meet(
    one: Subject,
    other: Subject,
    task: Task,
    examples: Sequence[Example],
    compare: Compare,
    temperature: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """The figures of ``one`` against ``other`` on ``examples``."""
    count = max(one.num_agents, other.num_agents)
    texts_a = answers(one, task, examples, temperature, seed)
    texts_b = answers(other, task, examples, temperature, seed + 1)
    wins, agreed, length = [], [], []
    for i in range(count):
        left, right = texts_a[i % one.num_agents], texts_b[i % other.num_agents]
        forward = np.array(compare(examples, left, right))
        backward = 1 - np.array(compare(examples, right, left))
        wins.append(0.5 + 0.5 * np.sign(forward + backward - 1))
        agreed.append(forward == backward)
        length.append([len(x) - len(y) for x, y in zip(left, right, strict=True)])
    score, difference = np.array(wins), np.array(length, float)
    mean_length = lambda texts: float(np.mean([len(text) for part in texts for text in part]))  # noqa: E731
    shown = zip(examples[:3], texts_a[0], texts_b[0], score[0], strict=False)
    return {
        "win_rate": float(score.mean()),
        "win_rate_ci": list(interval(score)),
        "length_controlled_win_rate": length_controlled(score, difference),
        "wins": int((score > 0.5).sum()),
        "ties": int((score == 0.5).sum()),
        "losses": int((score < 0.5).sum()),
        "order_changed_the_verdict": float(1 - np.mean(agreed)),
        "mean_length_a": mean_length(texts_a),
        "mean_length_b": mean_length(texts_b),
        "problems": len(examples),
        "agents": count,
        "win_rates": score.mean(axis=1).tolist(),
        "examples": [{"prompt": e.prompt, "a": x, "b": y, "score": float(s)} for e, x, y, s in shown],
    }


def answers(
    subject: Subject, task: Task, examples: Sequence[Example], temperature: float, seed: int
) -> list[list[str]]:
    """Every agent's answers ``[A][problems]``."""
    found = []
    for agent in range(subject.num_agents):
        model = subject.model(agent)
        prompts = [model.format_prompt(example.prompt, task.chat) for example in examples]
        found.append(answer(model, prompts, task.max_tokens, temperature=temperature, seed=seed))
    return found


def length_controlled(score: np.ndarray, difference: np.ndarray) -> float:
    """The win rate had all answers been equally long; equation in the head of this file. Both arrays ``[A, problems]``.

    Newton's method on the log posterior, which is concave.
    """
    spread = difference.std()
    x = np.tanh(difference.ravel() / spread) if spread else np.zeros(difference.size)
    won = np.r_[score.ravel(), 1.0, 0.0]
    weight = np.r_[np.ones(difference.size), 0.5, 0.5]
    design = np.stack([np.ones(len(won)), np.r_[x, 0.0, 0.0]], axis=1)
    beta = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (weight * (won - p)) - np.array([0.0, beta[1]])
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + np.diag([1e-9, 1.0])
        beta = beta + np.clip(np.linalg.solve(hessian, gradient), -2, 2)
    return float(1 / (1 + np.exp(-beta[0])))


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a person."""
    low, high = figures["win_rate_ci"]
    verdict = "A is better" if low > 0.5 else "B is better" if high < 0.5 else "they cannot be told apart"
    agents = f" × {figures['agents']} agents" if figures["agents"] > 1 else ""
    out = [
        f"A: {figures['a']}",
        f"B: {figures['b']}",
        f"{figures['task']}, {figures['problems']} held-out prompts{agents}, judged by {figures['judge']}: {verdict}",
        f"  A wins {figures['win_rate']:.1%} (95% interval {low:.1%} to {high:.1%}): "
        f"{figures['wins']} won, {figures['ties']} tied, {figures['losses']} lost",
        f"  at equal length {figures['length_controlled_win_rate']:.1%}; mean length "
        f"{figures['mean_length_a']:.0f} against {figures['mean_length_b']:.0f} characters",
    ]
    if figures["order_changed_the_verdict"]:
        out.append(
            f"  the judge changed its mind with the order in {figures['order_changed_the_verdict']:.0%} of pairs"
        )
    for e in figures["examples"]:
        mark = {1.0: ">", 0.5: "=", 0.0: "<"}[e["score"]]
        out.append(f"    {short(asked(e['prompt']))}  {short(e['a'])} {mark} {short(e['b'])}")
    return out + [f"  note: {note}" for note in figures.get("notes", [])]


def asked(prompt: Any) -> str:
    """A prompt for a person: of a conversation the words of the last message."""
    return prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
