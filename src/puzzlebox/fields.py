"""Hyper-parameters: each is a field of an Equinox module, with its default, meaning and range written once.

The command line makes its flags from them, the documentation its tables, and `check_fields` its errors. What several
modules share is a module too and stands in a field of each, a part; from outside the hyper-parameters of a module and
of its parts are one flat list of names.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Iterable
from typing import Any, NamedTuple

import equinox as eqx

from puzzlebox.errors import UsageError, unknown

PARAMETER, PART = "parameter", "part"  # what a field is, in its metadata
ELSEWHERE = {  # name in Stable-Baselines3, CleanRL, TRL or PEFT -> ours, for errors only; the first that exists counts
    "alpha": ("learning_rate", "lora_alpha"),
    "beta": ("kl_coef",),
    "buffer_size": ("capacity",),
    "clip_coef": ("clip_ratio",),
    "clip_range": ("clip_ratio",),
    "ent_coef": ("entropy_coef",),
    "epsilon": ("clip_ratio", "epsilon_start"),
    "epsilon_high": ("clip_high",),
    "exploration_final_eps": ("epsilon_end",),
    "exploration_initial_eps": ("epsilon_start",),
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
SYNONYMS = {"discount": ("gamma",)}  # the field uses both, so both are understood


class Parameter(NamedTuple):
    """A hyper-parameter as declared: default, one line of help, and its closed range [low, high] or its choices."""

    default: Any
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...] | None


def param(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """Declares a field as a hyper-parameter: ``discount: float = param(0.99, "γ", low=0, high=1)``."""
    return eqx.field(default=default, metadata={PARAMETER: Parameter(default, help, low, high, choices)})


def part(kind: type | None = None, **defaults: Any) -> Any:
    """The field of a module that holds a module of hyper-parameters, which count as the outer module's own.

    So what several algorithms share is written once: ``lora: LoRA = part(LoRA)`` gives each the flag ``--lora-rank``.
    ``defaults`` replace those of ``kind`` in this module. Without ``kind`` there is no default: what is given when the
    outer module is made is the part, None for none.
    """
    return eqx.field(**({"default": kind(**defaults)} if kind else {}), metadata={PART: True})


def params(module: Any) -> dict[str, Parameter]:
    """The hyper-parameters of an algorithm or world (class or instance), by name, those of its parts included."""
    found: dict[str, Parameter] = {}
    for f in dataclasses.fields(module):
        if PARAMETER in f.metadata:
            found[f.name] = f.metadata[PARAMETER]._replace(default=f.default)
        elif PART in f.metadata and (inner := _part(module, f)) is not None:
            found |= {name: p._replace(default=value_of(inner, name)) for name, p in params(inner).items()}
    return found


def _part(module: Any, f: dataclasses.Field) -> Any:
    """The part in a field: an instance's own, a class's default; None where there is none."""
    if isinstance(module, type):
        return None if f.default is dataclasses.MISSING else f.default
    return getattr(module, f.name)


def value_of(module: Any, name: str) -> Any:
    """The value of the hyper-parameter ``name`` of ``module`` or of one of its parts; else raises AttributeError."""
    for f in dataclasses.fields(module):
        if f.name == name:
            return getattr(module, name)
        if PART in f.metadata and (inner := _part(module, f)) is not None and name in params(inner):
            return value_of(inner, name)
    raise AttributeError(f"{type(module).__name__} has no hyper-parameter {name}")


def replace(module: Any, values: dict[str, Any]) -> Any:
    """A copy of the module with other ``values``, each by the name of a hyper-parameter of the module or of a part.

    It is `dataclasses.replace` for modules with parts, and like that runs the module's own checks again.
    """
    own = dict(values)
    for f in dataclasses.fields(module):
        if PART in f.metadata and (inner := own.get(f.name, _part(module, f))) is not None:
            own[f.name] = replace(inner, {name: own.pop(name) for name in params(inner) if name in own})
    return dataclasses.replace(module, **own)


def fill(module: Any, values: dict[str, Any]) -> None:
    """For an ``__init__``: sets every field from ``values`` (a part also by its fields' names) or its default.

    Raises UsageError for a name that is none of them, and for a value outside its range.
    """
    known = params(module)
    left = dict(values)
    for f in dataclasses.fields(module):
        default = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        value = left.pop(f.name) if f.name in left else default
        if PART in f.metadata:
            value = replace(value, {name: left.pop(name) for name in params(value) if name in left})
        setattr(module, f.name, value)
    if left:
        raise unknown_field(f"hyper-parameter of {type(module).__name__}", next(iter(left)), known)
    check_fields(module)


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
    """Raises UsageError for the first hyper-parameter outside its range; NaN is outside of every range.

    Traced arrays pass, since they have no value yet: `configure` has checked each swept value before.
    """
    for name, parameter in params(module).items():
        value = value_of(module, name)
        if parameter.choices is not None and value not in parameter.choices:
            raise UsageError(f"{name} is '{value}'; choose one of: {', '.join(parameter.choices)}")
        if isinstance(value, numbers.Real):
            if parameter.low is not None and not float(value) >= parameter.low:
                raise UsageError(f"{name} is {value}; it must be at least {parameter.low}")
            if parameter.high is not None and not float(value) <= parameter.high:
                raise UsageError(f"{name} is {value}; it must be at most {parameter.high}")


def parse(name: str, default: Any, text: str) -> Any:
    """Reads ``text`` as a value of the type of ``default``; raises a UsageError that begins with ``name``.

    Whole numbers may be written ``1e6`` or ``1_000_000``, tuples ``64,64`` or ``64x64``.
    """
    lower = text.strip().lower()
    # bool before int: True is an int in Python
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
    """``parts`` as numbers of ``kind``, int or float; raises UsageError for the first that is none."""
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
