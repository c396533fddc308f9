"""Gymnasium's environments by name: which there are, how options are read, and plain words for what is missing."""

from __future__ import annotations

import importlib
import json
import operator
import re
import sys
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from puzzlebox.envs.elsewhere import behind_prefix
from puzzlebox.envs.gymnasium_worker import make_one
from puzzlebox.errors import UsageError, missing_extra, unknown, where_raised

EXTRAS = {"box2d": ("Box2D", "box2d"), "mujoco": ("MuJoCo", "mujoco")}
VERSION = re.compile(r"^(?P<base>.+?)(-v(?P<version>\d+))?$")


def find(name: str) -> EnvSpec:
    """The registration called ``name`` (``module:Name-v0`` imports the module first); without a version, the newest.

    Raises UsageError with the versions there are, or else with the nearest names.
    """
    module, _, identifier = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as fault:  # whatever the user's own code raises
            raise UsageError(f"gym:{name} asks for the module {module}, which {_why_not(module, fault)}") from None
    if identifier in gymnasium.registry:
        return gymnasium.registry[identifier]
    base, version = _parts(identifier)
    versions = sorted((_parts(known)[1], known) for known in gymnasium.registry if _parts(known)[0] == base)
    if versions and version < 0:
        return gymnasium.registry[versions[-1][1]]
    if versions:
        there = " and ".join(f"gym:{known}" for _, known in versions)
        raise UsageError(f"unknown environment 'gym:{identifier}'; Gymnasium {gymnasium.__version__} has {there}")
    if elsewhere := behind_prefix(identifier):
        raise UsageError(f"unknown environment 'gym:{identifier}'; did you mean {' or '.join(elsewhere)}?")
    raise unknown("environment", f"gym:{identifier}", [f"gym:{known}" for known in gymnasium.registry])


def read_options(options: dict[str, str]) -> dict[str, Any]:
    """Each value read as JSON where it is JSON (true, 3, 0.5, "text"), else as text; Python's True and None too."""
    values: dict[str, Any] = {}
    for name, text in options.items():
        try:
            value = json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
        except json.JSONDecodeError:
            value = text
        if isinstance(value, list | dict):
            raise UsageError(f"{name} is {text}; an option here is a number, true, false or a text")
        values[name] = value
    return values


def create(spec: EnvSpec, options: dict[str, Any], **more: Any) -> gymnasium.Env:
    """One environment; raises UsageError for a missing package or an option it does not take."""
    try:
        env = make_one(spec, options, **more)
    except ImportError as fault:  # Gymnasium's DependencyNotInstalled is no ImportError
        raise _missing(spec, fault) from None
    except gymnasium.error.DependencyNotInstalled as fault:
        raise _missing(spec, fault) from None
    except (Exception, SystemExit) as fault:
        reason = str(fault).strip().splitlines() or [""]
        where = where_raised(fault)
        raise UsageError(f"gym:{spec.id} cannot be made: {type(fault).__name__}: {reason[0]} ({where})") from None
    _check_spaces(spec, env)
    return env


def _why_not(module: str, fault: BaseException) -> str:
    """Why a module cannot be imported: it is not found, or it fails at a line of its own."""
    if isinstance(fault, ModuleNotFoundError) and fault.name == module:
        here = f"; {module}.py lies here, so set PYTHONPATH=." if Path(f"{module}.py").is_file() else ""
        return f"cannot be imported: {fault}{here}"
    reason = " ".join(str(fault.msg if isinstance(fault, SyntaxError) else fault).split())
    return f"cannot be imported: {type(fault).__name__}: {reason} ({where_raised(fault)})"


def _check_spaces(spec: EnvSpec, env: gymnasium.Env) -> None:
    """Raises UsageError where an environment has not set its two spaces."""
    for name in ("observation_space", "action_space"):
        read = operator.attrgetter(name)
        try:
            found = read(env)
        except AttributeError:
            found = None
        if not isinstance(found, gymnasium.Space):
            own = type(env.unwrapped)
            module = sys.modules.get(own.__module__)
            where = f" of {own.__name__}" + (f" in {module.__file__}" if module and module.__file__ else "")
            raise UsageError(f"gym:{spec.id} has no {name}; set self.{name} = gymnasium.spaces... in __init__{where}")


def _missing(spec: EnvSpec, fault: Exception) -> UsageError:
    for part, (package, extra) in EXTRAS.items():
        if f".{part}." in str(spec.entry_point):
            return missing_extra(package, extra)
    return UsageError(f"gym:{spec.id} needs a package that is not installed: {str(fault).splitlines()[0]}")


def _parts(identifier: str) -> tuple[str, int]:
    """Name and version, −1 without one."""
    match = VERSION.match(identifier)
    if match is None:
        return identifier, -1
    return match["base"], int(match["version"] or -1)
