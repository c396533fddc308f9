"""The tokenizer in a Hugging Face model directory, as transformers 4 and 5 write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
from tokenizers import AddedToken

from puzzlebox.data import chat
from puzzlebox.errors import UsageError

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
)
SLOW_FILES = ("tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "tekken.json", "tiktoken.model")


class Parts(NamedTuple):
    """What a `Tokenizer` is made of; ``files`` are the contents of the files that it was read from, by name.

    ``split_special``: special tokens that occur in a text are encoded as plain text.
    """

    library: tokenizers.Tokenizer
    eos_id: int
    bos_id: int | None = None
    pad_id: int | None = None
    unk_id: int | None = None
    stop_ids: tuple[int, ...] = ()
    chat_template: str | None = None
    split_special: bool = False
    files: dict[str, bytes] = {}  # noqa: RUF012  (never changed)


def read(directory: Path) -> Parts:
    """Everything that the directory says about its tokenizer; errors as in ``Tokenizer.load``.

    Special tokens are spread over several files, which may repeat or contradict each other.
    """
    if not directory.is_dir():
        raise UsageError(f"there is no directory {directory}; pass one that holds a tokenizer.json")
    files = {name: (directory / name).read_bytes() for name in FILES if (directory / name).is_file()}
    if "tokenizer.json" not in files:
        raise _no_tokenizer(directory)
    try:
        library = tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode())
    except Exception as error:  # the library raises bare Exception
        raise UsageError(f"{directory / 'tokenizer.json'} is broken: {error}; copy the file again") from None
    # Special tokens by name. Where tokenizer_config.json lists added tokens it is the newer file and wins.
    config = _read_json(directory, files, "tokenizer_config.json")
    names = _read_json(directory, files, "special_tokens_map.json")
    config = {**names, **config} if "added_tokens_decoder" in config else {**config, **names}
    model, generation = (_read_model_json(directory, name) for name in ("config.json", "generation_config.json"))
    _add_tokens(library, config)
    ids = {name: _token_id(library, config.get(f"{name}_token")) for name in ("eos", "bos", "pad", "unk")}
    # What ends a text: the named token, else what generation stops at, else the usual names.
    stops = _id_list(generation.get("eos_token_id", model.get("eos_token_id")))
    stops = [i for i in stops if library.id_to_token(i) is not None]
    eos_id = next((i for i in (ids["eos"], *stops, *_usual_eos(library)) if i is not None), None)
    if eos_id is None:
        raise UsageError(
            f"the tokenizer in {directory} names no end-of-text token; add one to tokenizer_config.json, "
            'such as "eos_token": "</s>"'
        )
    bos_id = ids["bos"]
    if bos_id is None and "bos_token" not in config:
        bos_id = next((i for i in _id_list(model.get("bos_token_id")) if library.id_to_token(i) is not None), None)
    return Parts(
        library,
        eos_id=eos_id,
        bos_id=bos_id,
        pad_id=ids["pad"],
        unk_id=ids["unk"],
        stop_ids=tuple(stops),
        chat_template=_template(directory, config),
        split_special=bool(config.get("split_special_tokens")),
        files=files,
    )


def _no_tokenizer(directory: Path) -> UsageError:
    slow = [name for name in SLOW_FILES if (directory / name).is_file()]
    if not slow:
        return UsageError(f"there is no tokenizer.json in {directory}; pass the directory of a Hugging Face model")
    place = f"('{directory}')"
    program = f"from transformers import AutoTokenizer as T; T.from_pretrained{place}.save_pretrained{place}"
    return UsageError(
        f"{directory} holds only the older tokenizer files {', '.join(slow)}; "
        f'write a tokenizer.json with: python -c "{program}"'
    )


def _read_json(directory: Path, files: dict[str, bytes], name: str) -> dict[str, Any]:
    if name not in files:
        return {}
    try:
        value = json.loads(files[name])
    except ValueError as error:  # JSON and UTF-8 errors
        raise UsageError(f"{directory / name} is broken: {error}; copy the file again") from None
    if not isinstance(value, dict):
        raise UsageError(f"{directory / name} is broken: a JSON object was expected; copy the file again")
    return value


def _read_model_json(directory: Path, name: str) -> dict[str, Any]:
    path = directory / name
    return _read_json(directory, {name: path.read_bytes()} if path.is_file() else {}, name)


def _id_list(value: Any) -> list[int]:
    """``eos_token_id`` may be an id, a list of ids or missing."""
    values = value if isinstance(value, list) else [value]
    return [i for i in values if isinstance(i, int)]


def _name(token: Any) -> str | None:
    """A special token is written as its text or as an object with its ``content``."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) and text else None


def _token_id(library: tokenizers.Tokenizer, token: Any) -> int | None:
    name = _name(token)
    return None if name is None else library.token_to_id(name)


def _usual_eos(library: tokenizers.Tokenizer) -> list[int | None]:
    """The usual end-of-text tokens: old directories (GPT-2's own) leave the name to transformers' classes."""
    return [library.token_to_id(name) for name in ("<|endoftext|>", "</s>")]


def _add_tokens(library: tokenizers.Tokenizer, config: dict[str, Any]) -> None:
    """Adds the tokens that only ``tokenizer_config.json`` lists, under its ids, and marks the named ones as special."""
    listed = config.get("added_tokens_decoder") or {}
    known = library.get_vocab(with_added_tokens=True)
    for key, token in sorted(listed.items(), key=lambda item: int(item[0])):
        name = _name(token)
        if name is not None and name not in known and int(key) == library.get_vocab_size(with_added_tokens=True):
            flags = {flag: bool(token.get(flag)) for flag in ("special", "lstrip", "rstrip", "normalized")}
            library.add_tokens([AddedToken(name, **flags)])
    special = {token.content for token in library.get_added_tokens_decoder().values() if token.special}
    named = [_name(config.get(f"{key}_token")) for key in ("eos", "bos", "pad", "unk")]
    missing = [n for n in named if n is not None and n not in special and library.token_to_id(n) is not None]
    library.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in missing])


def _template(directory: Path, config: dict[str, Any]) -> str | None:
    """The chat template: a file of its own, else the entry, which is a text or a list of named texts."""
    if (directory / "chat_template.jinja").is_file():
        return chat.read_template(directory / "chat_template.jinja")
    entry = config.get("chat_template")
    if isinstance(entry, list):
        entry = {item.get("name"): item.get("template") for item in entry if isinstance(item, dict)}.get("default")
    return entry if isinstance(entry, str) else None
