"""Tokenizers: text to token ids and back, and a model's special tokens, as training needs to know them.

A thin layer over the ``tokenizers`` library, which reads the ``tokenizer.json`` of every Hugging Face model.

Departures from transformers: text is never tidied after decoding (``clean_up_tokenization_spaces``), so what was
encoded comes back; truncation and padding that a file asks for are switched off; the padding token is one that does
not end a text, where there is any other; only ``tokenizer.json`` is read, not the older slow formats.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from puzzlebox.data import chat, gguf_tokenizer, tokenizer_files
from puzzlebox.data.tokenizer_files import Parts
from puzzlebox.errors import UsageError


class Tokenizer:
    """Text ↔ token ids.

    ``vocab_size``: one more than the largest id. ``eos_id`` ends a text; ``stop_ids`` are all tokens that end an
    answer: ``eos_id``, those listed in ``generation_config.json``, and the one with which the chat template closes the
    assistant's turn. ``bos_id`` begins a text, None without one. ``pad_id`` pads rows and ``pad_reason`` says how it
    was chosen: the tokenizer's own padding token unless that is a stop token (where padding is masked by its id, as
    other libraries do, a model with pad = eos never learns to stop), else the unknown token, else any special token
    that does not stop, else ``eos_id``.

    Equal only to itself, so it can be a static field of a module.
    """

    def __init__(self, parts: Parts):
        self._parts = parts
        library = parts.library
        library.no_truncation()  # a tokenizer.json may carry either, and would silently cut or fill every text
        library.no_padding()
        self.library = self._library = library
        self._text_library = library
        if parts.split_special:  # special tokens in a text are plain text, as for a byte tokenizer
            self._text_library = tokenizers.Tokenizer.from_str(library.to_str())
            self._text_library.encode_special_tokens = True
        self.vocab_size = max(library.get_vocab(with_added_tokens=True).values()) + 1
        self.eos_id = parts.eos_id
        self.bos_id = parts.bos_id
        self.eos_token = library.id_to_token(parts.eos_id)
        self.bos_token = None if parts.bos_id is None else library.id_to_token(parts.bos_id)
        self.chat_template = parts.chat_template
        self._special = {i for i, token in library.get_added_tokens_decoder().items() if token.special}
        self.stop_ids = tuple(dict.fromkeys([parts.eos_id, *parts.stop_ids, *self._end_of_turn()]))
        self.pad_id, self.pad_reason = self._choose_pad()
        self._prefix = self._find_prefix()

    @staticmethod
    def load(directory: str | Path) -> Tokenizer:
        """The tokenizer of a Hugging Face model directory, as transformers 4 or 5 writes it.

        Raises ``UsageError`` without a directory or ``tokenizer.json``, for broken files, and without an
        end-of-text token.
        """
        return Tokenizer(tokenizer_files.read(Path(directory)))

    @staticmethod
    def characters() -> Tokenizer:
        """For models trained from scratch: token b is byte b of the text's UTF-8, ``<pad>`` is 256 and ``<eos>`` 257.

        Decoding gives every text back exactly, also one that contains the words ``<pad>`` or ``<eos>``.
        """
        library = tokenizers.Tokenizer(models.BPE({_byte_letter(b): b for b in range(256)}, []))
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        library.decoder = decoders.ByteLevel()
        library.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ("<pad>", "<eos>")])
        return Tokenizer(Parts(library, eos_id=257, pad_id=256, split_special=True))

    @staticmethod
    def from_gguf(reader: Any) -> Tokenizer:
        """The byte-pair tokenizer in a GGUF file; ``reader`` is a ``gguf.GGUFReader``.

        Raises ``UsageError`` for a kind of tokenizer other than those in ``gguf_tokenizer``.
        """
        return Tokenizer(gguf_tokenizer.build(reader))

    def with_chat_template(self, template: str) -> Tokenizer:
        """The same tokenizer with another chat template."""
        files = {**self._parts.files, "chat_template.jinja": template.encode()} if self._parts.files else {}
        return Tokenizer(self._parts._replace(chat_template=template, files=files))

    def encode(self, text: str) -> list[int]:
        """The text's ids without special tokens around them. Raises UsageError for text that is not valid Unicode."""
        return self._text_library.encode(_valid(text), add_special_tokens=False).ids

    def encode_prompt(self, text: str) -> list[int]:
        """The ids with what the tokenizer itself puts before a text (often ``bos_id``), and nothing after them."""
        return self._prefix + self.encode(text)

    def decode(self, ids: Sequence[int], skip_special: bool = True) -> str:
        """The text of the ids; bytes that are no whole character become U+FFFD."""
        return self._library.decode([int(i) for i in ids], skip_special_tokens=skip_special)

    def token_strings(self, ids: Sequence[int]) -> list[str]:
        """Each token's own text, its leading space and special tokens included."""
        # Some decoders drop a space at the beginning of a text, so every token is decoded behind a letter.
        anchor = self._text_library.encode("a", add_special_tokens=False).ids
        length = len(self._library.decode(anchor, skip_special_tokens=False))
        texts = self._library.decode_batch([[*anchor, int(i)] for i in ids], skip_special_tokens=False)
        return [text[length:] for text in texts]

    def chat_text(
        self,
        messages: Sequence[chat.Message],
        add_generation_prompt: bool = True,
        tools: Sequence[dict[str, Any]] | None = None,
    ) -> str:
        """The conversation in the model's chat template; ``UsageError`` where there is none."""
        if self.chat_template is None:
            raise UsageError(
                "this tokenizer has no chat template, which conversations need; "
                "pass one with --chat-template FILE, put chat_template.jinja beside the model's tokenizer.json, "
                "or use plain text instead of messages"
            )
        return chat.render(
            self.chat_template, messages, add_generation_prompt, self.bos_token, self.eos_token, tools=tools
        )

    def encode_chat(
        self,
        messages: Sequence[chat.Message],
        add_generation_prompt: bool = True,
        tools: Sequence[dict[str, Any]] | None = None,
    ) -> list[int]:
        """The ids of ``chat_text``; the template writes the special tokens itself, so none is added."""
        text = self.chat_text(messages, add_generation_prompt, tools)
        return self._library.encode(_valid(text), add_special_tokens=False).ids

    def save(self, directory: str | Path) -> None:
        """Writes what ``load`` and transformers' ``AutoTokenizer`` open: the files it was loaded from, or new ones."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in (self._parts.files or self._new_files()).items():
            (directory / name).write_bytes(data)

    @property
    def turn_end_id(self) -> int:
        """The token that closes the assistant's turn; ``eos_id`` where the chat template writes none there."""
        return next(iter(self._end_of_turn()), self.eos_id)

    def _new_files(self) -> dict[str, bytes]:
        named = {"eos": self.eos_id, "bos": self.bos_id, "pad": self.pad_id, "unk": self._parts.unk_id}
        config: dict[str, Any] = {
            f"{name}_token": self._library.id_to_token(i) for name, i in named.items() if i is not None
        }
        config |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        if self._parts.split_special:
            config["split_special_tokens"] = True
        generation: dict[str, Any] = {"eos_token_id": list(self.stop_ids), "pad_token_id": self.pad_id}
        if self.bos_id is not None:
            generation["bos_token_id"] = self.bos_id
        files = {
            "tokenizer.json": self._library.to_str().encode(),
            "tokenizer_config.json": json.dumps(config, indent=2).encode(),
            "generation_config.json": json.dumps(generation, indent=2).encode(),
        }
        if self.chat_template is not None:
            files["chat_template.jinja"] = self.chat_template.encode()
        return files

    def _end_of_turn(self) -> list[int]:
        """The first special token that the chat template writes after an assistant's words."""
        if self.chat_template is None:
            return []
        words = "words of the assistant"
        try:
            text = self.chat_text(
                [{"role": "user", "content": "a question"}, {"role": "assistant", "content": words}], False
            )
        except UsageError:
            return []  # reported where a conversation is encoded; plain text works without
        ids = self._library.encode(text.rpartition(words)[2], add_special_tokens=False).ids
        return [i for i in ids if i in self._special][:1]

    def _choose_pad(self) -> tuple[int, str]:
        """``pad_id`` and ``pad_reason``, by the order of preference that the class describes."""
        named, unknown = self._parts.pad_id, self._parts.unk_id
        if named is not None and named not in self.stop_ids:
            return named, "the tokenizer's own padding token"
        why = "the tokenizer has no padding token" if named is None else "its padding token also ends a text"
        if unknown is not None and unknown not in self.stop_ids:
            return unknown, f"the unknown token, because {why}"
        others = sorted(self._special - set(self.stop_ids) - {self.bos_id}) or sorted(
            self._special - set(self.stop_ids)
        )
        if others:
            return others[0], f"the special token {self._library.id_to_token(others[0])}, because {why}"
        return self.eos_id, f"the end-of-text token, because {why} and there is no other special token"

    def _find_prefix(self) -> list[int]:
        """What the tokenizer adds in front of a text; the library does not say, so one text is encoded both ways."""
        plain = self._library.encode("a", add_special_tokens=False).ids
        marked = self._library.encode("a", add_special_tokens=True).ids
        starts = (s for s in range(len(marked)) if marked[s : s + len(plain)] == plain)
        return marked[: next(starts, 0)]


def _byte_letter(byte: int) -> str:
    """The letter that stands for a byte in byte-level vocabularies: itself if printable, else the next from U+0100.

    Source: ``bytes_to_unicode`` of GPT-2.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    if byte in printable:
        return chr(byte)
    return chr(256 + sum(other not in printable for other in range(byte)))


def _valid(text: str) -> str:
    """The text itself; raises UsageError where it cannot be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the text holds half a surrogate pair, {text[error.start]!r} at character {error.start}; "
            "it is not valid Unicode, remove it"
        ) from None
    return text
