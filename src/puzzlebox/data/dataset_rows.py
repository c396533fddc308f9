"""One example of a data set: the columns of each kind of data, and how a row of a file is checked, column by column."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from puzzlebox.data.chat import Message
from puzzlebox.data.dataset_files import shown

Text = str | tuple[Message, ...]

# Kind -> the sets of columns it may have. The order matters: the kinds that need more columns come first, so that a
# file with prompt, completion and label is not taken for one with prompts alone.
COLUMNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "label": (("prompt", "completion", "label"),),
    "preference": (("prompt", "chosen", "rejected"), ("chosen", "rejected")),
    "ranking": (("prompt", "completions"),),
    "completion": (("prompt", "completion"),),
    "text": (("text",), ("messages",)),
    "prompt": (("prompt",),),
}


class Row(NamedTuple):
    """One example; fields that its kind does not have are None. A conversation is a tuple of messages.

    ``completions``: those of a ranking, the best first; ``places``: their ranks, 1 for the best, equal ones for ties.
    ``data``: every other column, for reward functions. ``source``: file and line, for messages to the user.
    """

    source: str = ""
    text: Text | None = None
    prompt: Text | None = None
    completion: Text | None = None
    chosen: Text | None = None
    rejected: Text | None = None
    completions: tuple[Text, ...] | None = None
    places: tuple[float, ...] | None = None
    label: bool | None = None
    margin: float | None = None
    data: dict[str, Any] = {}  # noqa: RUF012  (never changed)


class BadRow(Exception):
    """What is wrong with one row: the column, what was expected, what was found. `datasets.read` adds the source."""


def _text(source: str, record: dict[str, Any], columns: tuple[str, ...]) -> Row:
    (name,) = columns
    text = _messages(record, name) if name == "messages" else _plain(record, name)
    if isinstance(text, tuple) and not any(message["role"] == "assistant" for message in text):
        raise BadRow(f"column '{name}': a message of the role 'assistant' was expected, there is none to learn")
    return Row(source, text=text, data=_rest(record, columns))


def _prompt(source: str, record: dict[str, Any], columns: tuple[str, ...]) -> Row:
    return Row(source, prompt=_question(record), data=_rest(record, columns))


def _completion(source: str, record: dict[str, Any], columns: tuple[str, ...]) -> Row:
    prompt = _question(record)
    completion = _answer(record, "completion", prompt)
    return Row(source, prompt=prompt, completion=completion, data=_rest(record, columns))


def _label(source: str, record: dict[str, Any], columns: tuple[str, ...]) -> Row:
    label = record.get("label")
    if label not in (True, False):  # 0 and 1 too
        raise BadRow(f"column 'label': true or false was expected, found {shown(label)}")
    return _completion(source, record, columns)._replace(label=bool(label))


def _preference(source: str, record: dict[str, Any], columns: tuple[str, ...]) -> Row:
    alone = {"chosen": _either(record, "chosen"), "rejected": _either(record, "rejected")}
    # A text as prompt beside whole conversations repeats their first message, as in UltraFeedback.
    repeated = isinstance(record.get("prompt"), str) and all(isinstance(text, tuple) for text in alone.values())
    if "prompt" not in columns or repeated:
        prompt, *answers = _split(alone["chosen"], alone["rejected"])
        record = {**record, "chosen": answers[0], "rejected": answers[1]}
    else:
        prompt = _question(record)
    chosen, rejected = (_answer(record, name, prompt) for name in ("chosen", "rejected"))
    if chosen == rejected:
        raise BadRow(f"column 'rejected': a text other than 'chosen' was expected, both are {shown(chosen)}")
    margin = record.get("margin")
    if margin is not None and not _is_number(margin):
        raise BadRow(f"column 'margin': a number was expected, found {shown(margin)}")
    margin = None if margin is None else float(margin)
    rest = _rest(record, (*columns, "margin"))
    return Row(source, prompt=prompt, chosen=chosen, rejected=rejected, margin=margin, data=rest)


def _ranking(source: str, record: dict[str, Any], columns: tuple[str, ...]) -> Row:
    prompt, texts, places = _question(record), record.get("completions"), record.get("ranking")
    if not isinstance(texts, list) or len(texts) < 2:
        raise BadRow(f"column 'completions': a list of at least two was expected, found {shown(texts)}")
    answers = [_answer({"completions": text}, "completions", prompt) for text in texts]
    if places is None:
        places = list(range(1, len(texts) + 1))
    if not isinstance(places, list) or len(places) != len(texts) or not all(map(_is_number, places)):
        raise BadRow(f"column 'ranking': {len(texts)} numbers, 1 for the best, were expected, found {shown(places)}")
    order = sorted(range(len(texts)), key=lambda i: places[i])
    return Row(
        source,
        prompt=prompt,
        completions=tuple(answers[i] for i in order),
        places=tuple(float(places[i]) for i in order),
        data=_rest(record, (*columns, "ranking")),
    )


READERS: dict[str, Callable[[str, dict[str, Any], tuple[str, ...]], Row]] = {
    "text": _text,
    "prompt": _prompt,
    "completion": _completion,
    "preference": _preference,
    "label": _label,
    "ranking": _ranking,
}


def _question(record: dict[str, Any]) -> Text:
    prompt = _either(record, "prompt")
    if isinstance(prompt, tuple) and prompt[-1]["role"] == "assistant":
        raise BadRow("column 'prompt': the last message was expected to be the user's, found the role 'assistant'")
    return prompt


def _answer(record: dict[str, Any], name: str, prompt: Text) -> Text:
    """A completion: in the form of its prompt (text or messages), and not empty."""
    answer = _either(record, name)
    if isinstance(answer, tuple) != isinstance(prompt, tuple):
        forms = ("a text", "a list of messages")
        expected, found = forms if isinstance(prompt, str) else forms[::-1]
        raise BadRow(f"column '{name}': {expected} was expected, as in 'prompt', found {found}")
    if isinstance(answer, tuple) and answer[-1]["role"] != "assistant":
        role = answer[-1]["role"]
        raise BadRow(f"column '{name}': the last message was expected to be the assistant's, found the role {role!r}")
    return answer


def _either(record: dict[str, Any], name: str) -> Text:
    value = record.get(name)
    if isinstance(value, list | tuple):
        return _messages(record, name)
    return _plain(record, name, "a text or a list of messages")


def _plain(record: dict[str, Any], name: str, expected: str = "a text") -> str:
    value = record.get(name)
    if not isinstance(value, str):
        raise BadRow(f"column '{name}': {expected} was expected, found {shown(value)}")
    if not value.strip():
        raise BadRow(f"column '{name}': {expected} was expected, it is empty")
    _check_unicode(value, name)
    return value


def _messages(record: dict[str, Any], name: str) -> tuple[Message, ...]:
    value = record.get(name)
    if not isinstance(value, list | tuple):
        raise BadRow(f"column '{name}': a list of messages was expected, found {shown(value)}")
    if not value:
        raise BadRow(f"column '{name}': messages were expected, the list is empty")
    return tuple(_message(message, name, number) for number, message in enumerate(value, 1))


def _message(message: Any, name: str, number: int) -> Message:
    if not isinstance(message, dict):
        raise BadRow(f"column '{name}': message {number} is not an object with role and content: {shown(message)}")
    message = {key: value for key, value in message.items() if value is not None}  # parquet fills gaps with null
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role:
        raise BadRow(f"column '{name}': message {number} needs a text as 'role', found {shown(role)}")
    if content is None and "tool_calls" in message:
        content = message["content"] = ""
    if not isinstance(content, str):
        raise BadRow(f"column '{name}': message {number} needs a text as 'content', found {shown(content)}")
    if role == "assistant" and not content.strip() and "tool_calls" not in message:
        raise BadRow(f"column '{name}': message {number}, of the assistant, is empty")
    _check_unicode(content, name)
    return message


def _split(chosen: Text, rejected: Text) -> tuple[Text, Text, Text]:
    """The common beginning, which is the prompt, and what follows it in each."""
    length = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
    if length is None:
        length = min(len(chosen), len(rejected))
    if isinstance(chosen, str):
        while length and not chosen[length - 1].isspace():
            length -= 1
        while length and chosen[length - 1].isspace():  # the space belongs to the word after it
            length -= 1
    if isinstance(chosen, str) != isinstance(rejected, str):
        raise BadRow("column 'rejected': a text or messages like those of 'chosen' were expected")
    if not length:
        raise BadRow("column 'chosen': the same beginning as in 'rejected' was expected; or add a column 'prompt'")
    if length in (len(chosen), len(rejected)):
        raise BadRow("column 'rejected': an end other than that of 'chosen' was expected")
    return chosen[:length], chosen[length:], rejected[length:]


def _check_unicode(text: str, name: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        place = error.start
        raise BadRow(
            f"column '{name}': Unicode was expected, found half a surrogate pair at character {place}"
        ) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rest(record: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in columns}
