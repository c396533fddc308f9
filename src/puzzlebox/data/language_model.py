"""A language model: a decoder and the tokenizer whose ids it knows."""

from __future__ import annotations

from typing import Any

import equinox as eqx

from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.nets.decoder import Decoder

Prompt = str | list[dict[str, Any]]  # plain text, or messages of {role, content}


class LanguageModel(eqx.Module):
    """What writes. Plain prompts are continued; messages are put into the chat template, which must exist."""

    decoder: Decoder
    tokenizer: Tokenizer = eqx.field(static=True)

    def encode(self, prompt: Prompt) -> list[int]:
        """The token ids of a prompt, ready to be continued."""
        if isinstance(prompt, str):
            return self.tokenizer.encode_prompt(prompt)
        return self.tokenizer.encode_chat(prompt, add_generation_prompt=True)

    def ask(self, prompt: Prompt, chat: bool) -> Prompt:
        """A task's prompt as this model wants it: a ``chat`` request is a message where there is a chat template."""
        if chat and isinstance(prompt, str) and self.tokenizer.chat_template is not None:
            return [{"role": "user", "content": prompt}]
        return prompt

    def end_id(self, prompt: Prompt) -> int:
        """The token that ends an answer to this prompt."""
        return self.tokenizer.eos_id if isinstance(prompt, str) else self.tokenizer.turn_end_id

    def encode_answered(self, prompt: Any, completion: Any) -> tuple[list[int], list[int]]:
        """The token ids of a prompt and of the completion behind it, the latter with the token that ends it.

        Each is a text or messages; the prompt may also be None. Where the completion is messages, only the words of the
        last are written; what comes before is read. Without a prompt the text begins with the token that begins a
        text, or ends one where there is no such token.
        """
        if not isinstance(completion, str):
            messages = [*(prompt or ()), *completion]
            prompt, completion = messages[:-1], messages[-1]["content"]
        ids = self.encode(prompt) if prompt else []
        if not ids:
            ids = [self.tokenizer.eos_id if self.tokenizer.bos_id is None else self.tokenizer.bos_id]
        return ids, [*self.tokenizer.encode(completion), self.end_id(prompt)]

    def decode(self, ids: list[int]) -> str:
        """The text of a completion, without the token that ended it."""
        return self.tokenizer.decode(ids)


def printable(text: str) -> str:
    """``text`` without what would steer a terminal; lines and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
