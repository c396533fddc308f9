"""A language model: a decoder and the tokenizer whose ids it knows."""

from __future__ import annotations

from typing import Any

import equinox as eqx

from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.nets.decoder import Decoder

Prompt = str | list[dict[str, Any]]  # plain text, or messages of {role, content}


class LanguageModel(eqx.Module):
    """A model that completes prompts: plain text is continued; messages need a chat template."""

    decoder: Decoder
    tokenizer: Tokenizer = eqx.field(static=True)

    def encode(self, prompt: Prompt) -> list[int]:
        """The token ids of a prompt, ready to be continued."""
        if isinstance(prompt, str):
            return self.tokenizer.encode_prompt(prompt)
        return self.tokenizer.encode_chat(prompt, add_generation_prompt=True)

    def format_prompt(self, prompt: Prompt, chat: bool) -> Prompt:
        """A task's prompt in the form this model expects.

        Where the task is ``chat`` and the model has a chat template, plain text becomes a message of the user's.
        """
        if chat and isinstance(prompt, str) and self.tokenizer.chat_template is not None:
            return [{"role": "user", "content": prompt}]
        return prompt

    def end_id(self, prompt: Prompt) -> int:
        """The token that ends an answer to this prompt."""
        return self.tokenizer.eos_id if isinstance(prompt, str) else self.tokenizer.turn_end_id

    def encode_answered(self, prompt: Any, completion: Any) -> tuple[list[int], list[int]]:
        """The token ids of a prompt, and those of the completion behind it with its stop token.

        Each is a text or messages; the prompt may also be None. Of a completion made of messages, only the content of
        the last counts as completion; the messages before it join the prompt. Without a prompt the ids begin with the
        beginning-of-text token, or the end-of-text token where there is none.
        """
        if not isinstance(completion, str):
            messages = [*(prompt or ()), *completion]
            prompt, completion = messages[:-1], messages[-1]["content"]
        ids = self.encode(prompt) if prompt else []
        if not ids:
            ids = [self.tokenizer.eos_id if self.tokenizer.bos_id is None else self.tokenizer.bos_id]
        return ids, [*self.tokenizer.encode(completion), self.end_id(prompt)]

    def decode(self, ids: list[int]) -> str:
        """The text of a completion, without its stop token."""
        return self.tokenizer.decode(ids)


def printable(text: str) -> str:
    """``text`` without control characters that a terminal would obey; line breaks and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
