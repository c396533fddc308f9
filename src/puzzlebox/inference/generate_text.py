"""Writing from a prompt with any language model, and how fast it goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from puzzlebox.acting.completions import complete
from puzzlebox.acting.generate import Sampling
from puzzlebox.data.chat import read_template
from puzzlebox.data.language_model import LanguageModel, Prompt, printable
from puzzlebox.errors import UsageError
from puzzlebox.runs.build import load_model
from puzzlebox.scale import backend

LEAST_TEMPERATURE = 1e-3  # logits are divided by it and overflow below; 0 means the likeliest token


def generate(
    model: str,
    prompt: str,
    *,
    max_tokens: int = 128,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    stop: Sequence[str] = (),
    num: int = 1,
    chat: bool = False,
    system: str = "",
    chat_template: str | Path | None = None,
) -> dict[str, Any]:
    """``num`` completions of ``prompt``; with ``chat`` (or ``system``) the prompt is a message in the chat template.

    Each has ``text`` (up to the stop string), ``tokens`` and their ``log_probs`` in nats at this temperature, and
    ``finished``: it ended by itself or at a stop string. The figures of the first are repeated at the top level.
    ``tokens_per_second`` is measured after compiling. Raises UsageError for settings out of range, an empty prompt, one
    that leaves no room in the context, and a chat without template.
    """
    # model and prompt
    check_sampling(max_tokens, temperature, top_k, top_p)
    if num < 1:
        raise UsageError(f"num is {num}; it must be at least 1")
    backend.prepare()
    language_model = with_template(load_model(model), chat_template)
    request: Prompt = messages(system, prompt) if chat or system else prompt
    settings: dict[str, Any] = {
        "max_tokens": max_tokens,
        "sampling": Sampling(temperature, top_k, top_p),
        "group": num,
    }

    # compile, then write: only the second is timed
    key = jax.random.key(seed)
    began = time.perf_counter()
    complete(language_model, [request], key, **settings, stop=[""])  # stops at once: this only compiles
    compiled = time.perf_counter()
    trajectory, texts, written = complete(language_model, [request], key, **settings, stop=stop)
    seconds = time.perf_counter() - compiled

    # collect
    log_prob, mask = np.asarray(trajectory.log_prob), np.asarray(trajectory.mask)
    finished = np.any(trajectory.terminated, axis=1).tolist()
    made = [
        {
            "text": cut(text, stop),
            "tokens": ids,
            "log_probs": [float(x) for x in log_prob[row][mask[row]]],
            "finished": finished[row],
        }
        for row, (text, ids) in enumerate(zip(texts, written, strict=True))
    ]
    return {
        "model": model,
        "prompt": prompt,
        "prompt_tokens": language_model.encode(request),
        **made[0],
        "completions": made,
        "seconds": round(seconds, 4),
        "compile_seconds": round(compiled - began, 3),
        "tokens_per_second": round(sum(map(len, written)) / seconds, 1),
    }


def check_sampling(max_tokens: int, temperature: float, top_k: int, top_p: float) -> None:
    """Raises UsageError for the first setting out of range."""
    if max_tokens < 1:
        raise UsageError(f"max_tokens is {max_tokens}; it must be at least 1")
    if not (temperature == 0 or LEAST_TEMPERATURE <= temperature <= 1e3):
        raise UsageError(
            f"temperature is {temperature:g}; it must be 0 (the likeliest token) or between 0.001 and 1000"
        )
    if top_k < 0:
        raise UsageError(f"top_k is {top_k}; it must be at least 1, or 0 for no limit")
    if not 0 < top_p <= 1:
        raise UsageError(f"top_p is {top_p:g}; it must be above 0 and at most 1")


def messages(system: str, prompt: str) -> list[dict[str, Any]]:
    """The prompt as a conversation, after a system message if there is one."""
    front = [{"role": "system", "content": system}] if system else []
    return [*front, {"role": "user", "content": prompt}]


def with_template(model: LanguageModel, path: str | Path | None) -> LanguageModel:
    """The model with the chat template in a file, if one is given."""
    if path is None:
        return model
    return LanguageModel(model.decoder, model.tokenizer.with_chat_template(read_template(path)))


def cut(text: str, stop: Sequence[str]) -> str:
    """``text`` up to the first stop string."""
    places = [text.find(word) for word in stop if word in text]
    return text[: min(places)] if places else text


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The completions for a person, each behind the prompt's end."""
    out = []
    for number, made in enumerate(figures["completions"], 1):
        if len(figures["completions"]) > 1:
            out.append(f"── {number} " + "─" * 40)
        out.append(printable(made["text"]))
    return out


def footnote(figures: dict[str, Any]) -> str:
    """How much was written and how fast, and which completions did not come to an end."""
    made = figures["completions"]
    count = sum(len(m["tokens"]) for m in made)
    unfinished = sum(not m["finished"] for m in made)
    speed = f"{figures['tokens_per_second']:.0f} tokens/s"
    told = f"{count} tokens, {speed} after {figures['compile_seconds']:.1f} s of compiling"
    if not unfinished:
        return told
    who = "cut off at --max-tokens" if len(made) == 1 else f"{unfinished} of {len(made)} cut off at --max-tokens"
    return f"{told}; {who}"
