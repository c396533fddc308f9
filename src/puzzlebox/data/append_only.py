"""Does a chat template only append, or does it rewrite earlier turns?

Some templates do rewrite: they drop the reasoning of all but the last answer, or move the system prompt. A model that
chats turn by turn with such a template sees other tokens than the ones that it is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

from puzzlebox.data.chat import Message
from puzzlebox.data.tokenizer import Tokenizer

CONVERSATION: tuple[Message, ...] = (
    {"role": "user", "content": "What is 3 + 4?"},
    {"role": "assistant", "content": "Answer is 7."},
    {"role": "user", "content": "And times 2?"},
    {"role": "assistant", "content": "Answer is 14."},
)


def append_only_complaint(tokenizer: Tokenizer, messages: Sequence[Message] = CONVERSATION) -> str | None:
    """None if every turn only appends; otherwise one sentence: where the template rewrites, and the way out.

    For each assistant turn, the rendering before it (generation prompt included) must be a prefix of the rendering with
    it, and that a prefix of the rendering with the turns after it, both as text and as token ids. Otherwise the tokens
    that a model has seen or sampled are not those that it is trained on. Raises what ``render`` raises.
    """
    way_out = "train one turn at a time, or pass a template that only appends with --chat-template FILE"
    stages: list[tuple[int, bool]] = []  # how many messages are rendered, and whether a generation prompt follows
    for turn, message in enumerate(messages):
        if message["role"] == "assistant":
            stages += [(turn, True), (turn + 1, False)]
    if stages and stages[-1][0] < len(messages):
        stages.append((len(messages), False))
    before = None
    for count, prompts in stages:
        text = tokenizer.chat_text(messages[:count], add_generation_prompt=prompts)
        ids = tokenizer.encode_chat(messages[:count], add_generation_prompt=prompts)
        if before is not None:  # compare with the stage before: first the text, then the tokens
            old_text, old_ids, old_count = before
            if not text.startswith(old_text):
                place = _common(text, old_text)
                was, now = (part[place : place + 30] for part in (old_text, text))
                return (
                    f"the chat template is not append-only: with message {count}, what messages 1 to {old_count} gave "
                    f"changes from {was!r} to {now!r}; {way_out}"
                )
            if ids[: len(old_ids)] != old_ids:
                place = _common(ids, old_ids)
                old, new = (tokenizer.token_strings(part[place : place + 3]) for part in (old_ids, ids))
                return (
                    f"the chat template is not append-only in tokens: with message {count} the tokens {old} at the end "
                    f"of messages 1 to {old_count} become {new}; {way_out}"
                )
        before = (text, ids, count)
    return None


def _common(one: Sequence, other: Sequence) -> int:
    """Length of the common beginning."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
