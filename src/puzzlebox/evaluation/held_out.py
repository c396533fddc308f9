"""How likely a language model finds texts it was not trained on: loss, perplexity, and which of two it prefers.

Of a file of rows, one in five is held out (`held_out` is False where there are too few). Demonstrations and plain text:
loss = −mean log π(token), perplexity = e^loss, over all tokens that the data counts. Preferences: Δ = log π/π_start
(chosen) − log π/π_start (rejected); `reward_accuracy` is the share with Δ > 0 (what DPO trains), `preference_accuracy`
the share with log π(chosen) > log π(rejected), `margin` the mean of Δ in nats. Source: Rafailov et al. 2023, arXiv
2305.18290.

Plain text is read in windows that do not see each other, each as long as the context but at most 512 tokens, so the
first words of a window are harder than in one long reading; it is the same for every model with this tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting.judge import Judge, score_at
from puzzlebox.acting.pairs import find_pairs
from puzzlebox.acting.score import score
from puzzlebox.data.datasets import Row, ranking_pairs, read_text
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.packing import bucket, pad_rows
from puzzlebox.data.preferences import answer_mask
from puzzlebox.errors import UsageError
from puzzlebox.runs.language_agents import LanguageAgents
from puzzlebox.stats.shares import interval
from puzzlebox.types import LanguageAlgorithm, State, TaskOfRows

ROWS = 16  # texts at once
WINDOW = 512  # tokens of a text file that see each other, at most
MOST_TOKENS = 50_000  # of a text file are read

Written = tuple[list[int], list[int]]  # what is read, and what is then to be written, as token ids


def figures(agents: LanguageAgents, state: State, count: int, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """What the held-out rows of a run without verifier show: scores ``[A, rows]`` (more is better), and the figures.

    At most ``count`` rows or windows, drawn with ``seed``. Raises UsageError where nothing is held out.
    """
    scores, found = _figures(agents, state, count, seed)
    return scores, found | {"held_out": bool(agents.algorithm.env.held_out)}


def _figures(agents: LanguageAgents, state: State, count: int, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    algorithm, env = agents.algorithm, agents.algorithm.env
    models = [agents.policy(state, agent) for agent in range(agents.num_agents)]
    if isinstance(models[0], Judge):
        return judge_figures(models, algorithm, count, seed)
    assert isinstance(env, TaskOfRows)  # every other task has a verifier
    rows = held_out_rows(env, count, seed)
    if rows and rows[0].chosen is not None:
        return preference_figures(models, algorithm.start, rows)
    window = min(WINDOW, min(model.decoder.config.context for model in models))
    texts = [part for row in rows if row.label is not False for part in demonstration(algorithm.start, row, window)]
    if not texts:
        raise UsageError(f"{env.name} holds out nothing to evaluate: neither answers nor texts")
    if len(texts) > count:  # windows of long texts
        texts = [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))[:count]]
    sums, lengths = likelihoods([*models, algorithm.start], texts)
    loss = -sums.sum(axis=1) / lengths.sum()
    found = {"loss": float(loss[:-1].mean()), "perplexity": float(np.exp(loss[:-1]).mean()), "rows": len(texts)}
    found |= {"losses": loss[:-1].tolist(), "loss_start": float(loss[-1])}
    return (sums / lengths)[:-1], found | {"perplexity_start": float(np.exp(loss[-1]))}


def judge_figures(
    judges: Sequence[Judge], algorithm: LanguageAlgorithm, count: int, seed: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """How often reward models prefer the better of two: right or wrong ``[A, pairs]``, ties half, and the figures.

    The pairs are those of a file, or of completions that the starting model writes and the task's verifier judges.
    """
    found = find_pairs(algorithm.env, algorithm.start, "test", count, 8, 1.0, seed, demonstrations=True)
    order = np.random.default_rng(seed).permutation(len(found))[:count]
    pairs = [found[i] for i in order]
    texts = [pair.prompt + ids for pair in pairs for ids in (pair.chosen, pair.rejected)]
    rows = pad_rows(texts, algorithm.start.tokenizer.pad_id, bucket(max(map(len, texts))))
    last = np.array([len(text) - 1 for text in texts])
    parts = [slice(i, i + ROWS) for i in range(0, len(texts), ROWS)]
    scores = np.array(
        [
            np.concatenate(
                [np.asarray(score_at(judge.scorer, jnp.asarray(rows[p]), jnp.asarray(last[p]))) for p in parts]
            )
            for judge in judges
        ]
    )
    better, worse = scores[:, 0::2], scores[:, 1::2]
    right = (better > worse) + 0.5 * (better == worse)
    gap = float((better - worse).mean())
    found_figures = {"judge_accuracy": float(right.mean()), "judge_accuracy_ci": list(interval(right))}
    return right, found_figures | {"judge_accuracies": right.mean(axis=1).tolist(), "gap": gap, "rows": len(pairs)}


def held_out_rows(env: TaskOfRows, count: int, seed: int) -> list[Row]:
    """At most ``count`` held-out rows in the random order of ``seed``; a ranking gives its pairs."""
    rows = list(env.rows("test"))
    if env.kind == "ranking":
        rows = [pair for row in rows for pair in ranking_pairs(row)]
    if env.kind == "prompt":
        raise UsageError(f"{env.name} has prompts only, nothing to judge completions by; add a column 'answer'")
    order = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [rows[i] for i in order]


def preference_figures(
    models: Sequence[LanguageModel], start: LanguageModel, rows: Sequence[Row]
) -> tuple[np.ndarray, dict[str, Any]]:
    """Which of two texts each model prefers: Δ ``[A, rows]`` and the figures."""
    texts = [start.encode_answered(row.prompt, text) for row in rows for text in (row.chosen, row.rejected)]
    sums, _ = likelihoods([*models, start], texts)
    chosen, rejected = sums[:, 0::2], sums[:, 1::2]
    margin = (chosen - rejected)[:-1] - (chosen - rejected)[-1]
    return margin, {
        "reward_accuracy": float((margin > 0).mean()),
        "preference_accuracy": float((chosen > rejected)[:-1].mean()),
        "preference_accuracy_start": float((chosen > rejected)[-1].mean()),
        "margin": float(margin.mean()),
        "chosen_change": float((chosen[:-1] - chosen[-1]).mean()),
        "rejected_change": float((rejected[:-1] - rejected[-1]).mean()),
        "rows": len(rows),
    }


def demonstration(model: LanguageModel, row: Row, window: int) -> list[Written]:
    """What is read and what is scored: a prompt and its completion, or a plain text cut into windows."""
    prompt, completion = (row.prompt, row.completion) if row.text is None else ("", row.text)
    read, written = model.encode_answered(prompt, completion)
    if not isinstance(row.text, str):
        return [(read, written)]
    ids = read + written
    return [(ids[i : i + 1], ids[i + 1 : i + window + 1]) for i in range(0, len(ids) - 1, window)]


def likelihoods(models: Sequence[LanguageModel], texts: Sequence[Written]) -> tuple[np.ndarray, np.ndarray]:
    """Summed log-probabilities of the written part ``[models, texts]``, and how many tokens it has ``[texts]``."""
    longest = max(len(prompt) + len(written) for prompt, written in texts)
    for model in models:
        if longest - 1 > model.decoder.config.context:
            raise UsageError(
                f"a held-out text has {longest} tokens, more than the model's context of {model.decoder.config.context}"
            )
    length = min(bucket(longest), min(model.decoder.config.context for model in models) + 1)
    prompts, answers = zip(*texts, strict=True)
    tokens = pad_rows([prompt + answer for prompt, answer in texts], models[0].tokenizer.pad_id, length)
    mask = answer_mask(prompts, answers, length - 1)
    return np.stack([log_probs(model, tokens, mask).sum(axis=1) for model in models]), mask.sum(axis=1)


def log_probs(model: LanguageModel, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """log π of each token after the first, ``[B, T − 1]``, 0 where ``mask`` is False."""
    parts = []
    for i in range(0, len(tokens), ROWS):
        rows, counts = tokens[i : i + ROWS], mask[i : i + ROWS]
        if 0 < len(rows) < ROWS < len(tokens):  # the last part has the shape of the others: one program
            fill = ROWS - len(rows)
            rows = np.concatenate([rows, np.repeat(rows[-1:], fill, axis=0)])
            counts = np.concatenate([counts, np.zeros((fill, counts.shape[1]), bool)])
        parts.append(np.asarray(_log_probs(model.decoder, jnp.asarray(rows), jnp.asarray(counts))))
    return np.concatenate(parts)[: len(tokens)].astype(np.float64)


@eqx.filter_jit
def _log_probs(decoder, tokens, mask):
    return score(decoder, tokens[:, :-1], tokens[:, 1:], mask)[0]


def text_figures(models: Sequence[LanguageModel], start: LanguageModel | None, path: str | Path) -> dict[str, Any]:
    """Loss per token and perplexity of the text at ``path``; beside the starting model's, and the change, if any.

    ``perplexity_change`` 0.1: the mean perplexity of the agents is 10% above that of the model they started from.
    """
    texts = read_text(path)
    everyone = [*models, *([start] if start else [])]
    tokens, mask = windows(models[0], texts, min(WINDOW, min(m.decoder.config.context for m in everyone)))
    loss = np.array([-log_probs(model, tokens, mask).sum() / mask.sum() for model in everyone])
    perplexity = np.exp(loss)
    own = perplexity[: len(models)]
    found: dict[str, Any] = {"text": str(path), "text_tokens": int(mask.sum())}
    found |= {"text_loss": float(loss[: len(models)].mean()), "text_perplexity": float(own.mean())}
    found["text_perplexities"] = own.tolist()
    if start:
        found["text_perplexity_start"] = float(perplexity[-1])
        found["perplexity_change"] = float(own.mean() / perplexity[-1] - 1)
    return found


def windows(model: LanguageModel, texts: Sequence[str], length: int) -> tuple[np.ndarray, np.ndarray]:
    """The texts' tokens in rows of ``length`` + 1, each row beginning with the last token of the row before."""
    tokenizer = model.tokenizer
    first = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
    rows: list[list[int]] = []
    left = MOST_TOKENS
    for text in texts:
        ids = [first, *tokenizer.encode(text)][: left + 1]
        rows += [ids[i : i + length + 1] for i in range(0, len(ids) - 1, length)]
        left -= len(ids) - 1
        if left <= 0:
            break
    tokens = pad_rows(rows, tokenizer.pad_id, max(map(len, rows)))
    return tokens, np.arange(tokens.shape[1] - 1) < np.array([len(row) - 1 for row in rows])[:, None]


def held_out_lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a person."""
    out, which = [], "held-out" if figures.get("held_out", True) else "training"
    if "judge_accuracy" in figures:
        low, high = figures["judge_accuracy_ci"]
        out.append(
            f"scores the better text higher in {figures['judge_accuracy']:.1%} of {figures['rows']} {which} pairs "
            f"(95% interval {low:.1%} to {high:.1%}), by {figures['gap']:.2f} on average"
        )
    if "loss" in figures:
        out.append(
            f"{which} loss {figures['loss']:.3f}, perplexity {figures['perplexity']:.2f} on {figures['rows']} texts "
            f"(before training {figures['loss_start']:.3f}, {figures['perplexity_start']:.2f})"
        )
    if "reward_accuracy" in figures:
        out.append(
            f"on {figures['rows']} {which} pairs the chosen text gained on the rejected one in "
            f"{figures['reward_accuracy']:.1%}, by {figures['margin']:.2f} nats on average"
        )
        out.append(
            f"prefers the chosen text in {figures['preference_accuracy']:.1%} (before training "
            f"{figures['preference_accuracy_start']:.1%}); log-probability of chosen {figures['chosen_change']:+.2f}, "
            f"of rejected {figures['rejected_change']:+.2f}"
        )
    if "text_perplexity" in figures:
        line = f"perplexity {figures['text_perplexity']:.2f} on {figures['text']} ({figures['text_tokens']} tokens)"
        if "perplexity_change" in figures:
            before, change = figures["text_perplexity_start"], figures["perplexity_change"]
            line += f"; before training {before:.2f}, so it is {abs(change):.1%} {'worse' if change > 0 else 'better'}"
        out.append(line)
    return out
