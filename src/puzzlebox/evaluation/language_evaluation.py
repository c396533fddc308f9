"""How good are the answers of a language model: completions of held-out problems, judged by the task's verifier.

Where a task has no verifier, `held_out` measures how likely the model finds what it should have written.

Intervals are those of `shares`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from puzzlebox.acting.completions import complete, rewards_of
from puzzlebox.acting.generate import Sampling
from puzzlebox.acting.judge import Judge, Judged
from puzzlebox.data.language_model import LanguageModel, Prompt, printable
from puzzlebox.data.text_worlds import make_text, skipped_report
from puzzlebox.envs.text.task import few_shot
from puzzlebox.errors import UsageError
from puzzlebox.evaluation import held_out
from puzzlebox.evaluation.subjects import Subject, open_subject
from puzzlebox.runs.directory import Run, write_json
from puzzlebox.runs.language_agents import LanguageAgents
from puzzlebox.stats.intervals import summarise
from puzzlebox.stats.shares import interval, pass_at
from puzzlebox.types import Example, State, Task, TaskOfRows

ROWS = 64  # completions at once
SHOWN = 3  # examples for people to look at


def evaluate_model(
    name: str | Path,
    *,
    task: str,
    shots: int,
    samples: int,
    temperature: float | None,
    text: str | Path,
    problems: int,
    seed: int,
) -> dict[str, Any]:
    """Evaluates every agent of a run, or a model, on held-out problems of ``task`` ("": the run's own); see `evaluate`.

    ``shots`` worked examples stand before each problem. ``samples`` completions per problem are drawn at
    ``temperature`` (None: greedy for one, 1 for several): accuracy is then their mean, and ``pass_at`` says how
    often one of k is right. ``text``: a file whose perplexity is measured too, beside that of the starting model.
    Raises UsageError before anything compiles.
    """
    for what, value, least in (("episodes", problems, 1), ("shots", shots, 0), ("samples", samples, 1)):
        if value < least:
            raise UsageError(f"{what} is {value}; it must be at least {least}")
    temperature = float(samples > 1) if temperature is None else temperature
    if temperature < 0:
        raise UsageError(f"temperature is {temperature}; it must be at least 0")
    if samples > 1 and temperature == 0:
        raise UsageError(f"samples is {samples}, but at temperature 0 all are the same; set --temperature 1")
    own_only = not (task or text or shots or samples > 1 or temperature)
    subject = open_subject(name, judges=own_only)
    env = task or subject.env
    if not env and not text:
        raise UsageError(f"{name} is no run, so say what to evaluate it on: --task arith, or --text FILE")
    head = {"algorithm": subject.run.config["algorithm"] if subject.run else str(name), "env": env}
    head |= {"seeds": subject.num_agents, "steps": subject.steps, "run": str(name)}
    figures: dict[str, Any] = {}
    if text:
        figures |= held_out.text_figures([subject.model(i) for i in range(subject.num_agents)], subject.start, text)
    if not env:
        return head | figures | {"intervals_meaningful": subject.num_agents >= 3}
    made = subject.agents.algorithm.env if subject.agents and env == subject.env else make_text(env)
    if subject.run and subject.agents and env == subject.env and not (shots or samples > 1 or temperature):
        own = evaluate_language(subject.run, subject.agents, subject.state, subject.steps, problems=problems, seed=seed)
        return own | figures
    head |= skipped_report(made)
    if not verifies(made):
        raise UsageError(f"{env} has no verifier; evaluate a run that was trained on it, or name another --task")
    examples = made.examples("test", problems, seed)
    correct, rewards, texts = judged(subject, made, examples, shots, samples, temperature, seed)
    figures |= accuracy_figures(correct, rewards) | {"shots": shots, "samples": samples, "temperature": temperature}
    if samples > 1:
        powers = [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if k <= samples]
        figures["pass_at"] = {str(k): pass_at(correct, k) for k in powers}
    return head | figures | {"examples": shown_examples(examples, texts[0])}


def evaluate_language(
    run: Run, agents: LanguageAgents, state: State, steps: int, *, problems: int, seed: int
) -> dict[str, Any]:
    """Every agent on the same held-out problems of the run's own task; writes ``evaluation.json``.

    Accuracy and reward where there is a verifier, otherwise what `held_out` measures; of prompts alone only examples.
    """
    config, task = run.config, agents.algorithm.env
    head = {name: config[name] for name in ("algorithm", "env", "seeds")} | {"steps": steps}
    record: dict[str, Any] = {"steps": steps, "episodes": problems, "seed": seed}
    if isinstance(task, TaskOfRows) and task.kind == "prompt" and not (verifies(task) or isinstance(task, Judged)):
        examples = task.examples("test", min(problems, SHOWN), seed)  # a person judged, who is not asked again
        figures = {"examples": unjudged(agents.policy(state, 0), task, examples, seed), "intervals_meaningful": False}
        return head | figures | {"run": str(run.path)} | skipped_report(task)
    if isinstance(agents.policy(state, 0), Judge) or not (verifies(task) or isinstance(task, Judged)):
        returns, figures = held_out.figures(agents, state, problems, seed)
        figures |= reward_figures(returns)
    else:
        examples = task.examples("test", problems, seed)
        subject = Subject(str(run.path), config["env"], agents.num_agents, lambda agent: agents.policy(state, agent))
        correct, rewards, texts = judged(subject, task, examples, 0, 1, 0.0, seed)
        returns, figures = rewards[..., 0], accuracy_figures(correct, rewards)
        if not verifies(task):  # a learned reward alone
            figures = {"problems": len(examples), **reward_figures(returns)}
        completions = [[row[0] for row in part] for part in texts]
        record |= {"prompts": [e.prompt for e in examples], "completions": completions}
        record |= {"correct": correct[..., 0].astype(int).tolist()} if verifies(task) else {}
        figures["examples"] = shown_examples(examples, texts[0])
    record["greedy"] = {"episode_returns": returns.round(4).tolist()}
    write_json(run.path / "evaluation.json", record)
    return head | figures | {"run": str(run.path)} | skipped_report(task)


def judged(
    subject: Subject, task: Task, examples: Sequence[Example], shots: int, samples: int, temperature: float, seed: int
) -> tuple[np.ndarray, np.ndarray, list[list[list[str]]]]:
    """What the verifier says: correct and rewards ``[A, problems, samples]``, and the texts."""
    prompts = [few_shot(task, example, shots, seed) for example in examples]
    repeated = [example for example in examples for _ in range(samples)]
    correct, rewards, texts = [], [], []
    for agent in range(subject.num_agents):
        model = subject.model(agent)
        asked = [model.format_prompt(prompt, task.chat) for prompt in prompts]
        answers = answer(model, asked, task.max_tokens, samples, temperature, seed)
        verdicts = zip(repeated, answers, strict=True) if verifies(task) else ()
        correct.append([task.correct(e, text) for e, text in verdicts] or [False] * len(answers))
        rewards.append(rewards_of(task, repeated, answers))
        texts.append([answers[i : i + samples] for i in range(0, len(answers), samples)])
    shape = (subject.num_agents, len(examples), samples)
    return np.array(correct, float).reshape(shape), np.array(rewards, float).reshape(shape), texts


def answer(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    max_tokens: int,
    samples: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[str]:
    """``samples`` completions of every prompt, beside each other; greedy at temperature 0.

    They are shorter than ``max_tokens`` where the model's context leaves less room.
    """
    texts: list[str] = []
    longest = max(len(model.encode(prompt)) for prompt in prompts)
    max_tokens = max(1, min(max_tokens, model.decoder.config.context - longest))
    at_once = max(1, ROWS // samples)
    for i in range(0, len(prompts), at_once):
        part = list(prompts[i : i + at_once])
        full = part + part[:1] * (at_once - len(part)) if len(prompts) > at_once else part  # one shape, one program
        key = jax.random.fold_in(jax.random.key(seed), i)
        sampling = Sampling(temperature)
        written = complete(model, full, key, max_tokens=max_tokens, sampling=sampling, group=samples)
        texts += written.texts[: len(part) * samples]
    return texts


def verifies(task: Task) -> bool:
    """Whether completions of the task can be judged; a file without answers and reward function cannot."""
    try:
        example = task.examples("test", 1, 0)[0]
        task.correct(example, "")
    except UsageError:
        return False
    return bool(example.prompt)


def accuracy_figures(correct: np.ndarray, rewards: np.ndarray) -> dict[str, Any]:
    """The figures of ``[A, problems, samples]``."""
    accuracy = correct.mean(axis=2)
    return {
        "accuracy": float(accuracy.mean()),
        "accuracy_ci": list(interval(accuracy)),
        "accuracies": accuracy.mean(axis=1).tolist(),
        "problems": accuracy.shape[1],
    } | reward_figures(rewards.mean(axis=2))


def reward_figures(rewards: np.ndarray) -> dict[str, Any]:
    """The figures of rewards ``[A, problems]`` under the names that every ``--json`` uses."""
    scores = summarise(rewards.mean(axis=1))
    return {
        "return_mean": scores["mean"],
        "return_iqm": scores["iqm"],
        "return_ci": scores["iqm_ci"],
        "intervals_meaningful": scores["intervals_meaningful"],
    }


def unjudged(model: LanguageModel, task: Task, examples: Sequence[Example], seed: int) -> list[dict[str, Any]]:
    """What the model writes where nothing says whether it is good."""
    texts = answer(model, [model.format_prompt(e.prompt, task.chat) for e in examples], task.max_tokens, seed=seed)
    return shown_examples(examples, [[text] for text in texts])


def shown_examples(examples: Sequence[Example], texts: list[list[str]], count: int = SHOWN) -> list[dict[str, Any]]:
    """A few problems with the first agent's first answer, for people to look at."""
    pairs = zip(examples[:count], texts, strict=False)
    return [{"prompt": e.prompt, "answer": e.answer, "completion": written[0]} for e, written in pairs]


def language_lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a person."""
    out = []
    if "accuracy" in figures:
        low, high = figures["accuracy_ci"]
        shots, samples = figures.get("shots", 0), figures.get("samples", 1)
        how = f", {shots}-shot" * bool(shots) + f", {samples} samples each" * (samples > 1)
        out.append(
            f"accuracy {figures['accuracy']:.1%} (95% interval {low:.1%} to {high:.1%}) "
            f"on {figures['problems']} problems{how}"
        )
    elif "problems" in figures:
        out.append(f"mean reward {figures['return_mean']:.3f} on {figures['problems']} problems")
    if "pass_at" in figures:
        out.append(", ".join(f"pass@{k} {value:.1%}" for k, value in figures["pass_at"].items()))
    out += held_out.held_out_lines(figures)
    for example in figures.get("examples", []):
        if isinstance(example["prompt"], str):
            wanted = f"   (wanted: {short(example['answer'])})" if example["answer"] else ""
            out.append(f"  {short(example['prompt'])} → {short(example['completion'])}{wanted}")
    return out


def short(text: str, length: int = 60) -> str:
    """One line, not too long."""
    text = " ".join(printable(text).split())
    return text if len(text) <= length else text[: length - 1] + "…"
