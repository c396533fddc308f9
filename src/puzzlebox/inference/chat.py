"""Talking to a language model in the terminal: its words appear while it writes them.

What was read or written stays in the key-value cache. As long as the chat template only appends, a new turn is put
behind it token for token, and nothing is tokenised again: tokenising an answer anew could give other tokens than those
the model wrote. All arrays keep one size, so that two compiled programs, `_read` and `_write`, serve the whole
conversation.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting.generate import Sampling, draw_token
from puzzlebox.data.append_only import append_only_complaint
from puzzlebox.data.chat import Message
from puzzlebox.data.language_model import LanguageModel, printable
from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.errors import UsageError
from puzzlebox.inference.generate_text import check_sampling, with_template
from puzzlebox.nets.decoder import Cache
from puzzlebox.runs.build import load_model
from puzzlebox.runs.interrupt import interruptible
from puzzlebox.runs.progress import forgiving, say
from puzzlebox.scale import backend
from puzzlebox.types import Array, Key

LONGEST = 2048  # tokens of a conversation, at most; a model's context may be shorter
READ = 32  # tokens read at once


def chat(
    model: str,
    *,
    system: str = "",
    max_tokens: int = 512,
    temperature: float = 0.7,
    top_k: int = 0,
    top_p: float = 0.95,
    seed: int = 0,
    chat_template: str | Path | None = None,
) -> dict[str, Any]:
    """A conversation between standard input and a model, line by line, until the input ends; returns its messages.

    Answers go to standard output. Raises UsageError for settings out of range and a model without a chat template.
    """
    # open the conversation
    check_sampling(max_tokens, temperature, top_k, top_p)
    backend.prepare()
    talk = Conversation(with_template(load_model(model), chat_template), Sampling(temperature, top_k, top_p), seed)
    talk.begin(system)
    changed = append_only_complaint(talk.model.tokenizer)
    if changed is not None:
        say(f"note: {changed.partition('; train one')[0]}; the conversation is read again each turn")
    out = forgiving(sys.stdout)
    if sys.stdin.isatty():
        say(f"{model}: Ctrl-C stops an answer, /reset starts over; /exit, Ctrl-D or Ctrl-C once more leaves")

    # answer line by line
    interrupted = False  # by Ctrl-C, just before
    while (line := next_line(interrupted)) is not None and line.strip() != "/exit":
        if line.strip() == "/reset":
            talk.begin(system)
            say("(started over)")
            interrupted = False
            continue
        with interruptible(signal.SIGINT) as stopped, closing(talk.answer(line, max_tokens)) as pieces:
            try:
                for piece in pieces:
                    out.write(printable(piece))
                    out.flush()
                    if stopped.is_set():
                        break
            except UsageError as error:
                say(f"{error}; /reset starts over")
            except KeyboardInterrupt:  # a second one before the first could stop the answer
                out.write("\n")
                break
        interrupted = stopped.is_set()
        out.write("\n")
        out.flush()
    return {"model": model, "messages": talk.messages, "tokens": talk.seen}


def next_line(interrupted: bool) -> str | None:
    """A line of standard input that is not empty, None at the end; on a terminal with a prompt and line editing.

    Ctrl-C at the prompt is the end if it is the second in a row, the first being the one that ``interrupted`` tells of.
    """
    asks = sys.stdin.isatty()
    if asks:
        with suppress(ImportError):  # Windows has none
            import readline  # noqa: F401  (gives input() its line editing)
    while True:
        try:
            line = input(prompt() if asks else "")
        except EOFError:
            if asks:
                say("")
            return None
        except KeyboardInterrupt:
            if not asks:
                raise
            say("" if interrupted else "\n(Ctrl-C once more, /exit or Ctrl-D leaves)")
            if interrupted:
                return None
            interrupted = True
            continue
        except UnicodeDecodeError as error:
            raise UsageError(f"the input is not UTF-8 (byte {error.start}); convert it first") from None
        if line.strip():
            return line
        interrupted = False


def prompt() -> str:
    """What `input` shows; where standard output goes elsewhere, it is shown here and `input` shows nothing."""
    if sys.stdout.isatty():
        return "> "
    print("> ", end="", file=sys.stderr, flush=True)
    return ""


class Conversation:
    """Messages so far, and the model's cache of them.

    ``seen``: the tokens in the cache. ``told``: the same as text, as the template wrote it, answers as they were given.
    ``limit``: how many tokens a conversation may have.
    """

    def __init__(self, model: LanguageModel, sampling: Sampling, seed: int):
        self.model = model
        self.sampling = sampling
        self.key = jax.random.key(seed)
        self.limit = min(model.decoder.config.context, LONGEST)
        self.begin("")

    def begin(self, system: str) -> None:
        """Forgets everything but the system message."""
        self.messages: list[Message] = [{"role": "system", "content": system}] if system else []
        self.seen: list[int] = []
        self.told = ""
        cache = self.model.decoder.empty_cache(jnp.zeros(1, jnp.int32), self.limit + READ)
        self.cache = jax.tree.map(jnp.copy, cache)  # its arrays may be one and the same, which cannot be donated twice

    def answer(self, text: str, max_tokens: int) -> Generator[str, None, None]:
        """Pieces of the answer as they are written.

        Whoever stops taking them stops the model: what was written until then is the answer.

        Raises UsageError where the conversation leaves no room for an answer; then it is as it was before.
        """
        tokenizer = self.model.tokenizer
        asked = [*self.messages, {"role": "user", "content": text}]
        prompt, told = continued(tokenizer, asked, self.seen, self.told)
        if len(prompt) >= self.limit:
            raise UsageError(f"the conversation has {len(prompt)} tokens, and at most {self.limit} fit")
        self.messages = asked
        logits = self._read(prompt)
        stream, written = Stream(tokenizer), list[int]()
        try:
            for _ in range(min(max_tokens, self.limit - len(prompt))):
                self.key, draw_key = jax.random.split(self.key)
                token, logits, self.cache = _write(
                    self.model.decoder, self.cache, logits, draw_key, self.sampling.temperature, *self.sampling[1:]
                )
                written.append(int(token))
                if written[-1] in tokenizer.stop_ids:
                    break
                yield stream.add(written[-1])
            yield stream.rest()
        finally:  # also where the reader of the pieces stops early
            self.seen = prompt + written
            reply = tokenizer.decode(written)
            self.told = told + reply
            self.messages = [*asked, {"role": "assistant", "content": reply}]

    def _read(self, prompt: list[int]) -> Array:
        """Puts the prompt into the cache, except for the beginning that is there already.

        Returns the logits ``[1, vocabulary]`` after its last token; for them that token is always read again.
        """
        same = next((i for i, (a, b) in enumerate(zip(prompt, self.seen, strict=False)) if a != b), len(self.seen))
        same = min(same, len(prompt) - 1)
        cache = self.cache._replace(length=jnp.int32(same))  # what lies behind is overwritten before it is looked at
        for first in range(same, len(prompt), READ):
            part = prompt[first : first + READ]
            padded = np.zeros((1, READ), np.int32)
            padded[0, : len(part)] = part
            logits, cache = _read(self.model.decoder, cache, jnp.asarray(padded), jnp.int32(len(part)))
        self.cache = cache
        return logits


def continued(tokenizer: Tokenizer, messages: Sequence[Message], seen: list[int], told: str) -> tuple[list[int], str]:
    """The tokens of ``messages`` up to where the assistant writes, and their text.

    Where the template only appended to ``told``, which are the tokens ``seen``, just the new part becomes tokens.
    """
    text = tokenizer.chat_text(messages, add_generation_prompt=True)
    if not seen or not text.startswith(told):
        return tokenizer.encode_chat(messages, add_generation_prompt=True), text
    new = tokenizer.library.encode(text[len(told) :], add_special_tokens=False).ids
    if new and new[0] == seen[-1] and new[0] in tokenizer.stop_ids:  # the model has closed its turn itself
        new = new[1:]
    return seen + new, text


class Stream:
    """Text from tokens that come one by one, never half a character."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self.shown = ""

    def add(self, token: int) -> str:
        """What can be shown after this token: bytes that may yet become a character wait."""
        self.ids.append(token)
        return self._new(self.tokenizer.decode(self.ids).rstrip("\ufffd"))

    def rest(self) -> str:
        """What is left at the end, broken characters as U+FFFD."""
        return self._new(self.tokenizer.decode(self.ids))

    def _new(self, text: str) -> str:
        """What ``text`` has beyond what was shown."""
        piece = text[len(self.shown) :]
        self.shown += piece
        return piece


@eqx.filter_jit(donate="all-except-first")
def _read(decoder, cache: Cache, tokens: Array, count: Array) -> tuple[Array, Cache]:
    """Reads ``tokens [1, READ]``, of which ``count`` are real and the rest padding that the cache then forgets."""
    hidden, longer = decoder.extend(tokens, cache)
    last = jax.lax.dynamic_slice_in_dim(hidden, count - 1, 1, axis=1)[:, 0]
    return decoder.logits(last), longer._replace(length=cache.length + count)


@eqx.filter_jit(donate="all-except-first")
def _write(
    decoder, cache: Cache, logits: Array, key: Key, temperature, top_k: int, top_p: float
) -> tuple[Array, Array, Cache]:
    """Draws a token from ``logits`` and reads it: the token, the logits after it, the cache with it."""
    token, _ = draw_token(logits, key, temperature, top_k, top_p)
    hidden, cache = decoder.extend(token[:, None], cache)
    return token[0], decoder.logits(hidden[:, -1]), cache
