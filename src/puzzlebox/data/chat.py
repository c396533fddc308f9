"""Chat templates: the Jinja program that comes with a model and renders a conversation as one text.

Source: the conventions of Hugging Face's chat templates (variables, whitespace control, ``raise_exception``,
``strftime_now``, ``tojson`` without HTML escapes, ``{% generation %}`` blocks).

Departures: everything that a template raises becomes a ``UsageError``. Templates come from strangers, so they run in
Jinja's immutable sandbox and see plain data only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from puzzlebox.errors import UsageError

Message = dict[str, Any]


def render(
    template: str,
    messages: Sequence[Message],
    add_generation_prompt: bool = False,
    bos_token: str | None = None,
    eos_token: str | None = None,
    tools: Sequence[dict[str, Any]] | None = None,
) -> str:
    """The conversation as the text that the model was trained on.

    ``messages``: ``{"role": ..., "content": ...}`` each; with ``add_generation_prompt`` the text ends with the opening
    of the assistant's turn; ``tools`` are JSON schemas. Raises ``UsageError`` when the template is broken, refuses the
    messages, or reaches for attributes that the sandbox forbids.
    """
    try:
        return _compile(template).render(
            messages=_plain(messages),
            tools=_plain(tools) if tools else None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **{
                name: token for name, token in (("bos_token", bos_token), ("eos_token", eos_token)) if token is not None
            },
        )
    except SecurityError as error:
        raise UsageError(f"the chat template was refused, it reaches for {_line(error)}") from None
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(f"the chat template is broken in its line {error.lineno}: {_line(error)}") from None
    except jinja2.TemplateError as error:
        raise UsageError(f"the chat template refuses this conversation: {_line(error)}") from None
    except Exception as error:  # a template is a program: it may raise anything
        raise UsageError(f"the chat template fails: {type(error).__name__}: {_line(error)}") from None


def read_template(path: str | Path) -> str:
    """The template in a file; ``UsageError`` when it cannot be read. Errors inside it are reported by ``render``."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the chat template {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"the chat template {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None


@lru_cache(maxsize=32)
def _compile(template: str) -> jinja2.Template:
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


class _Sandbox(ImmutableSandboxedEnvironment):
    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        # Jinja itself shows a forbidden attribute as nothing as long as nothing is read from it.
        raise SecurityError(f"'{attribute}' of {type(obj).__name__}")


class _Generation(Extension):
    """``{% generation %}`` marks the assistant's words for other tools; here the block is rendered as its body."""

    tags = {"generation"}  # noqa: RUF012  (Jinja's own attribute)

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _plain(value: Any) -> Any:
    """Only JSON's types: an object with methods would be a way out of the sandbox."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UsageError(f"a message may hold text, numbers, lists and objects only; found a {type(value).__name__}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
