"""Hyper-parameters: a field of a module with its default, its meaning and its range, written once.

The command line makes its flags from these, the documentation its tables, and `check_fields` its errors.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Iterable
from typing import Any

import equinox as eqx

from puzzlebox.errors import UsageError, unknown

ELSEWHERE = {  # what Stable-Baselines3, CleanRL, TRL and PEFT call them
    "alpha": ("learning_rate", "lora_alpha"),
    "beta": ("kl_coef",),
    "buffer_size": ("capacity",),
    "clip_coef": ("clip_ratio",),
    "clip_range": ("clip_ratio",),
    "discount": ("gamma",),
    "ent_coef": ("entropy_coef",),
    "epsilon": ("clip_ratio", "epsilon_start"),
    "epsilon_high": ("clip_high",),
    "exploration_final_eps": ("epsilon_end",),
    "exploration_initial_eps": ("epsilon_start",),
    "gamma": ("discount",),
    "kl_coef": ("beta",),
    "lora_r": ("lora_rank",),
    "lora_target_modules": ("lora_targets",),
    "lr": ("learning_rate",),
    "max_completion_length": ("max_tokens",),
    "max_length": ("length",),
    "max_new_tokens": ("max_tokens",),
    "max_steps": ("steps",),
    "model_name_or_path": ("model",),
    "n_envs": ("num_envs",),
    "n_epochs": ("num_epochs",),
    "n_steps": ("num_steps",),
    "net_arch": ("hidden",),
    "num_generations": ("group_size",),
    "num_iterations": ("num_epochs",),
    "num_train_epochs": ("num_epochs", "steps"),
    "output_dir": ("run",),
    "per_device_train_batch_size": ("batch_size", "num_prompts"),
    "target_network_frequency": ("target_every",),
    "target_update_interval": ("target_every",),
    "tau": ("target_rate",),
    "total_timesteps": ("steps",),
    "train_frequency": ("num_steps",),
    "update_epochs": ("num_epochs",),
    "vf_coef": ("value_coef",),
}
SYNONYMS = {"discount": ("gamma",), "gamma": ("discount",)}  # the field uses both, so both are understood


def param(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A hyper-parameter: its default, one line of meaning, and its closed range or its choices."""
    return eqx.field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


def params(module: Any) -> dict[str, dataclasses.Field]:
    """The hyper-parameters of an algorithm or world (class or instance), by name, in the order written."""
    return {f.name: f for f in dataclasses.fields(module) if "help" in f.metadata}


def spellings(name: str) -> tuple[str, ...]:
    """Every name under which a hyper-parameter or flag may be given, its own first: ``discount``, then ``gamma``."""
    return (name, *SYNONYMS.get(name, ()))


def unknown_field(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a hyper-parameter or flag that does not exist: what it is called here, or the nearest names."""
    spelled = {plain(option): option for option in known}
    for option in ELSEWHERE.get(plain(name), ()):
        if option in spelled:
            return UsageError(f"unknown {kind} '{name}'; here it is called {spelled[option]}")
    return unknown(kind, name, spelled.values())


def plain(flag: str) -> str:
    """The hyper-parameter's name in a flag: ``num_envs`` of ``--num-envs``."""
    return flag.lstrip("-").replace("-", "_")


def check_fields(module: Any) -> None:
    """Raises UsageError for the first hyper-parameter outside its range; arrays (swept values) pass."""
    for name, f in params(module).items():
        value = getattr(module, name)
        low, high, choices = f.metadata["low"], f.metadata["high"], f.metadata["choices"]
        if choices is not None and value not in choices:
            raise UsageError(f"{name} is '{value}'; choose one of: {', '.join(choices)}")
        if isinstance(value, numbers.Real):
            if low is not None and not value >= low:
                raise UsageError(f"{name} is {value}; it must be at least {low}")
            if high is not None and not value <= high:
                raise UsageError(f"{name} is {value}; it must be at most {high}")


def parse(name: str, field: dataclasses.Field, text: str) -> Any:
    """Reads ``text`` as the type of the field's default; raises UsageError naming the field."""
    default = field.default
    lower = text.strip().lower()
    if isinstance(default, bool):
        if lower in ("true", "yes", "1", "on"):
            return True
        if lower in ("false", "no", "0", "off"):
            return False
        raise UsageError(f"{name} is '{text}'; it must be true or false")
    if isinstance(default, tuple):
        return tuple(int(part) for part in _numbers(name, text.replace("x", ",").split(","), int))
    if isinstance(default, int):
        return _numbers(name, [text.replace("_", "")], int)[0]
    if isinstance(default, float):
        return _numbers(name, [text], float)[0]
    return text


def _numbers(name: str, parts: list[str], kind: type) -> list[Any]:
    word = "a whole number" if kind is int else "a number"
    values = []
    for part in parts:
        try:
            value = float(part)
        except ValueError:
            raise UsageError(f"{name} is '{part}'; it must be {word}") from None
        if kind is int and value != int(value):
            raise UsageError(f"{name} is '{part}'; it must be a whole number")
        values.append(kind(value))
    return values
