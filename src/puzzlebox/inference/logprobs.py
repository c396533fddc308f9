"""How likely a model finds a text, token by token: log p(token | the tokens before it), in nats."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting.score import score
from puzzlebox.data.dataset_files import read_utf8
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.packing import bucket, pad_rows
from puzzlebox.errors import UsageError
from puzzlebox.runs.build import load_model
from puzzlebox.scale import backend

ROWS = 8  # lines at once


def logprobs(model: str, text: str | Path) -> dict[str, Any]:
    """The log-probabilities of every line of the file ``text``.

    ``tokens[i]`` are the ids of line i, with what the tokenizer puts before a text (BOS); ``log_probs[i]`` has one
    entry fewer: its first belongs to the second token, since nothing comes before the first. An empty line has neither.
    ``perplexity`` is exp(−mean) over all of them. Raises UsageError for a file without text or a line that is longer
    than the model's context.
    """

    # read
    lines = [line.removesuffix("\r") for line in read_utf8(Path(text)).removesuffix("\n").split("\n")]
    if not any(line.strip() for line in lines):
        raise UsageError(f"{text} holds no text; write a sentence on each line")
    backend.prepare()
    language_model = load_model(model)
    tokens = [language_model.tokenizer.encode_prompt(line) if line else [] for line in lines]
    context = language_model.decoder.config.context
    for number, ids in enumerate(tokens, 1):
        if len(ids) > context:
            raise UsageError(
                f"{text}, line {number} has {len(ids)} tokens, more than the model's context of {context}; "
                "break the line up"
            )

    # score
    log_probs = score_texts(language_model, tokens)
    values = [x for line in log_probs for x in line]
    return {
        "model": model,
        "text": str(text),
        "tokens": tokens,
        "log_probs": log_probs,
        "token_texts": [language_model.tokenizer.token_strings(ids) for ids in tokens],
        "perplexity": math.exp(-math.fsum(values) / len(values)) if values else None,
    }


def score_texts(model: LanguageModel, tokens: list[list[int]]) -> list[list[float]]:
    """log p of every token but the first, for each text; those of similar length share a batch, to pad little."""
    order = sorted((i for i in range(len(tokens)) if len(tokens[i]) > 1), key=lambda i: len(tokens[i]))
    rows = min(ROWS, len(order))
    result: list[list[float]] = [[] for _ in tokens]
    for first in range(0, len(order), max(rows, 1)):
        some = order[first : first + rows]
        width = min(bucket(len(tokens[some[-1]])), model.decoder.config.context)
        padded = pad_rows([tokens[i] for i in some], model.tokenizer.pad_id, width, rows)
        lengths = np.array([len(tokens[i]) for i in some] + [0] * (rows - len(some)))
        mask = np.arange(width - 1) < lengths[:, None] - 1
        log_prob = np.asarray(_score(model.decoder, jnp.asarray(padded), jnp.asarray(mask)))
        for row, i in enumerate(some):
            result[i] = [float(x) for x in log_prob[row, : len(tokens[i]) - 1]]
    return result


@eqx.filter_jit
def _score(decoder, tokens, mask):
    return score(decoder, tokens[:, :-1], tokens[:, 1:], mask)[0]


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a person: every line, its tokens with their log-probabilities below each other."""
    out = []
    for number, (texts, values) in enumerate(zip(figures["token_texts"], figures["log_probs"], strict=True), 1):
        if not texts:
            continue
        total = math.fsum(values)
        told = f"log-prob {total:.2f}, perplexity {math.exp(-total / len(values)):.2f}" if values else "nothing to tell"
        out.append(f"line {number}: {len(texts)} tokens, {told}")
        out.append(
            "  " + "  ".join([repr(texts[0])] + [f"{t!r} {x:.2f}" for t, x in zip(texts[1:], values, strict=True)])
        )
    if figures["perplexity"] is not None:
        out.append(f"perplexity of all: {figures['perplexity']:.3f}")
    return out
