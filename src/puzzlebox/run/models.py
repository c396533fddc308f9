"""Language models by name: ``new,layers=2,width=64``, ``smollm2``, a directory, a GGUF file, a run, or an adapter."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from puzzlebox.acting.judge import Judge
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


def load_model(name: str) -> LanguageModel:
    """The language model called ``name``, adapters merged; raises UsageError when there is none or it is unreadable.

    ``new``, with options after commas: a small decoder with random weights that reads bytes. A run directory, with
    ``,agent=1`` for another than its first agent: what was trained there.
    """
    checkpoints = Path(name.partition(",")[0]) / "checkpoints"
    return _load(name, checkpoints.stat().st_mtime_ns if checkpoints.is_dir() else 0)


@lru_cache(maxsize=2)
def _load(name: str, _changed: int) -> LanguageModel:
    base, *settings = name.split(",")
    if base == "new":
        return new_model(read_options(name, settings, NEW))
    if base == "smollm2":
        from puzzlebox.run.fetch import smollm2

        return from_gguf(smollm2())
    path = Path(base)
    if path.suffix == ".gguf":
        return from_gguf(path)
    if is_run(path):
        return from_run(path, read_options(name, settings, {"agent": 0})["agent"])
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        return from_adapter(path)
    if path.is_dir():
        from puzzlebox.data.huggingface import load_decoder

        return LanguageModel(load_decoder(path), Tokenizer.load(path))
    raise UsageError(
        f"there is no model '{name}'; name a run directory, a Hugging Face directory, a .gguf file, smollm2, or new"
    )


def read_options(name: str, settings: list[str], defaults: dict[str, int]) -> dict[str, int]:
    """``defaults`` with the settings ``key=number``."""
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


def from_gguf(path: Path) -> LanguageModel:
    from puzzlebox.data.gguf import load_gguf

    decoder, reader = load_gguf(path)
    return LanguageModel(decoder, Tokenizer.from_gguf(reader))


def from_adapter(path: Path) -> LanguageModel:
    """A PEFT directory, merged into the model that it names as its base."""
    from puzzlebox.data.huggingface import read_json
    from puzzlebox.data.peft import load_adapter

    base = str(read_json(path, "adapter_config.json").get("base_model_name_or_path") or "")
    if not Path(base).exists() and base != "smollm2":
        raise UsageError(
            f"{path} adapts the model '{base}', which is not here; write the directory that holds it into "
            f"base_model_name_or_path of {path / 'adapter_config.json'}"
        )
    model = load_model(base)
    return LanguageModel(merged(load_adapter(model.decoder, path)), model.tokenizer)


merged = eqx.filter_jit(merge_lora)


def is_run(path: Path) -> bool:
    return (path / "config.json").is_file() and "algorithm" in read_config(path)


def from_run(path: Path, agent: int, merge: bool = True) -> LanguageModel:
    """What one agent of a run has become; without ``merge`` its adapters stay apart from the weights."""
    model, algorithm = trained(path, agent)
    if not isinstance(model, LanguageModel):
        raise UsageError(f"{path} is a run of {algorithm}, which trains no language model")
    return LanguageModel(merged(model.decoder), model.tokenizer) if merge else model


@lru_cache(maxsize=2)
def load_judge(name: str) -> Judge:
    """The reward model in a run directory, with ``,agent=1`` for another than its first agent; raises UsageError."""
    base, *settings = name.split(",")
    path = Path(base)
    if not is_run(path):
        raise UsageError(f"reward_model is '{name}', which is no run directory; make one: puzzlebox train reward_model")
    judge, algorithm = trained(path, read_options(name, settings, {"agent": 0})["agent"])
    if not isinstance(judge, Judge):
        raise UsageError(f"reward_model is '{name}', a run of {algorithm}, which trains no reward model")
    return judge


def trained(path: Path, agent: int) -> tuple[Any, str]:
    """The policy of one agent of a run of a language algorithm, from its newest checkpoint; the algorithm's name."""
    from puzzlebox.algorithms import of_language
    from puzzlebox.run import checkpoint
    from puzzlebox.run.directory import Run
    from puzzlebox.run.train import build

    run = Run.open(path)
    if not of_language(run.config["algorithm"]):
        raise UsageError(f"{path} is a run of {run.config['algorithm']}, which trains no language model")
    agents = build(run.config)
    if agent >= agents.num_agents:
        raise UsageError(f"agent is {agent}, but {path} has agents 0 to {agents.num_agents - 1}")
    state, _, _ = checkpoint.load_newest(run.checkpoints, agents.shapes())
    return agents.policy(state, agent), run.config["algorithm"]


def read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads((path / "config.json").read_text())
    except ValueError as error:
        raise UsageError(f"{path / 'config.json'} is not readable as JSON: {error}") from None
    return config if isinstance(config, dict) else {}
