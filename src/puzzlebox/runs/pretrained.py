"""Language models that are not runs: new ones with random weights, and other people's files.

`build.load_model` is what others call: it finds out which kind a name means.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.errors import UsageError, unknown
from puzzlebox.nets.decoder import Decoder, DecoderConfig
from puzzlebox.nets.linear import merge_lora

NEW = {"layers": 4, "width": 128, "heads": 4, "kv_heads": 4, "hidden": 384, "context": 512, "seed": 0}
MODELS = {
    "new": "a small decoder with random weights that reads bytes; " + ", ".join(f"{k}={v}" for k, v in NEW.items()),
    "smollm2": "SmolLM2-135M-Instruct; puzzlebox fetch smollm2 gets it (93 MB)",
    "DIR": "a run of a language algorithm, a Hugging Face directory, or a PEFT adapter",
    "FILE.gguf": "a GGUF file of llama, qwen2, qwen3, gpt2, gptneox, gemma2 or gemma3",
}


def read_options(name: str, settings: list[str], defaults: dict[str, int]) -> dict[str, int]:
    """``defaults`` overridden by the settings ``key=number``; raises UsageError for an unknown key or another value."""
    values = dict(defaults)
    for setting in settings:
        key, _, text = setting.partition("=")
        if key not in defaults:
            raise unknown(f"option of the model '{name}'", key, defaults)
        if not text.isdigit():
            raise UsageError(f"'{setting}' in the model '{name}' is no whole number; write {key}={defaults[key]}")
        values[key] = int(text)
    return values


def new_model(options: dict[str, int]) -> LanguageModel:
    """A decoder with random weights drawn from ``seed``; raises UsageError for sizes that do not divide."""
    tokenizer = Tokenizer.characters()
    width, heads = options["width"], options["heads"]
    if width % heads or heads % options["kv_heads"]:
        raise UsageError(f"width {width} must be a multiple of heads {heads}, and heads of kv_heads")
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size,
        width=width,
        num_layers=options["layers"],
        num_heads=heads,
        num_kv_heads=options["kv_heads"],
        head_dim=width // heads,
        hidden=options["hidden"],
        context=options["context"],
    )
    return LanguageModel(Decoder(config, jax.random.key(options["seed"])), tokenizer)


def from_directory(path: Path) -> LanguageModel:
    """A Hugging Face directory: weights and tokenizer."""
    from puzzlebox.data.huggingface import load_decoder

    return LanguageModel(load_decoder(path), Tokenizer.load(path))


def from_gguf(path: Path) -> LanguageModel:
    """A GGUF file: weights and tokenizer in one."""
    from puzzlebox.data.gguf import load_gguf

    decoder, reader = load_gguf(path)
    return LanguageModel(decoder, Tokenizer.from_gguf(reader))


merged = eqx.filter_jit(merge_lora)


def is_run(path: Path) -> bool:
    """Whether ``path`` is a run directory; a Hugging Face directory has a ``config.json`` too."""
    return (path / "config.json").is_file() and "algorithm" in read_config(path)


def read_config(path: Path) -> dict[str, Any]:
    """``config.json`` of a run or a model, {} where it is no object; raises UsageError where it is not JSON."""
    try:
        config = json.loads((path / "config.json").read_text())
    except ValueError as error:
        raise UsageError(f"{path / 'config.json'} is not readable as JSON: {error}") from None
    return config if isinstance(config, dict) else {}
