"""How good are the answers of a trained language model: greedy completions of held-out problems, judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from puzzlebox.acting.generate import Sampling
from puzzlebox.algorithms.language import common
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.envs.text.task import Example
from puzzlebox.run.directory import Run, write_json
from puzzlebox.run.language_agents import LanguageAgents
from puzzlebox.run.statistics import summarise
from puzzlebox.types import State

ROWS = 64  # completions at once


def evaluate_language(
    run: Run, agents: LanguageAgents, state: State, steps: int, *, problems: int, seed: int
) -> dict[str, Any]:
    """Accuracy and reward of every agent on the same held-out problems; writes ``evaluation.json``."""
    task = agents.algorithm.env
    examples = task.examples("test", problems, seed)
    correct, rewards, texts = [], [], []
    for agent in range(agents.num_agents):
        answers = answer(agents.policy(state, agent), task, examples)
        texts.append(answers)
        correct.append([task.correct(e, text) for e, text in zip(examples, answers, strict=True)])
        rewards.append(common.rewards(task, examples, answers))
    accuracy, reward = np.array(correct, float), np.array(rewards, float)
    record = {"prompts": [e.prompt for e in examples], "completions": texts, "correct": accuracy.astype(int).tolist()}
    record["greedy"] = {"episode_returns": reward.round(4).tolist()}
    write_json(run.path / "evaluation.json", {"steps": steps, "seed": seed} | record)
    config = run.config
    scores = summarise(reward.mean(axis=1))
    return {
        "algorithm": config["algorithm"],
        "env": config["env"],
        "seeds": config["seeds"],
        "steps": steps,
        "accuracy": float(accuracy.mean()),
        "accuracy_ci": list(interval(accuracy)),
        "accuracies": accuracy.mean(axis=1).tolist(),
        "problems": len(examples),
        "return_mean": scores["mean"],
        "return_iqm": scores["iqm"],
        "return_ci": scores["iqm_ci"],
        "intervals_meaningful": scores["intervals_meaningful"],
        "run": str(run.path),
    }


def answer(model: LanguageModel, task: Any, examples: Sequence[Example]) -> list[str]:
    """Greedy completions of the examples' prompts."""
    prompts = [model.ask(example.prompt, task.chat) for example in examples]
    texts: list[str] = []
    for i in range(0, len(prompts), ROWS):
        part = prompts[i : i + ROWS]
        full = part + part[:1] * (ROWS - len(part)) if len(prompts) > ROWS else part  # one shape, one program
        _, written = common.experience(
            model, full, jax.random.key(0), max_tokens=task.max_tokens, sampling=Sampling(0.0)
        )
        texts += written[: len(part)]
    return texts


def interval(correct: np.ndarray, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95% bootstrap interval of the mean of ``correct [A, problems]``: problems and agents are both drawn again."""
    generator = np.random.default_rng(seed)
    agents, problems = correct.shape
    means = [
        correct[generator.integers(0, agents, agents)][:, generator.integers(0, problems, problems)].mean()
        for _ in range(resamples)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
