"""The options in a name: ``grid/toy,step_reward=-2,slip=0.1``."""

from __future__ import annotations

from typing import Any

from puzzlebox.errors import UsageError, unknown
from puzzlebox.fields import check_fields, params, parse, replace


def read_options(name: str) -> tuple[str, dict[str, str]]:
    """``"grid/toy,slip=0.1"`` as the name and its options, still text; raises UsageError for an option without =."""
    base, *settings = name.split(",")
    options: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"'{setting}' in '{name}' is no option; write NAME,option=value")
        options[key.strip().replace("-", "_")] = value.strip()
    return base, options


def configure(name: str, env: Any, options: dict[str, str]) -> Any:
    """``env`` with the options set, each read as the type of the field's default and checked for its range."""
    fields = params(env)
    values: dict[str, Any] = {}
    for key, text in options.items():
        if key not in fields:
            raise unknown(f"option of {name}", key, fields) if fields else UsageError(f"{name} has no options")
        values[key] = parse(key, fields[key].default, text)
    env = replace(env, values)
    check_fields(env)
    return env
