"""Demonstrations as token rows: the completions of a task or file behind their prompts, or texts without prompts."""

from __future__ import annotations

from functools import lru_cache

from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.packing import EncodedText, Rows, bucket, pack, split_text
from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.errors import UsageError
from puzzlebox.types import Task, TaskOfRows

LONGEST = 1024  # tokens of a row of plain text, at most, unless ``length`` says otherwise


@lru_cache(maxsize=4)  # every step of SFT asks for them again
def demonstrations(
    task: Task, tokenizer: Tokenizer, context: int, count: int, length: int, packing: bool, completion_only: bool
) -> Rows:
    """All demonstrations of a file, or ``count`` of a task, as rows of ``length`` tokens (0: as long as they need).

    Texts without a prompt are split where a row ends; prompts with their completions are not. Raises UsageError where
    there are no demonstrations, and for one that is longer than a row or than the model's ``context``.
    """
    if length > context:
        raise UsageError(f"length is {length}, but the model reads at most {context} tokens; lower --length")
    examples = task.examples("train", len(task.rows("train")) if isinstance(task, TaskOfRows) else count, 0)
    if not any(example.completion for example in examples):
        if examples[0].source:
            columns = "a column 'completion', 'chosen', 'text' or 'messages'"
            raise UsageError(f"{examples[0].source} has no demonstration; sft learns from {columns}")
        raise UsageError("this task has no demonstrations to learn from; sft needs a completion for every prompt")
    # Encode each demonstration; check that those with a prompt fit into a row.
    model, whole, texts = LanguageModel(None, tokenizer), [], []  # type: ignore[arg-type]  # it only encodes
    longest, limit = 0, length or context
    known: dict[str, tuple[list[int], list[int]]] = {}  # a task draws its problems with repetition
    for example in examples:
        name = repr((example.prompt, example.completion))
        if name not in known:
            known[name] = model.encode_answered(model.format_prompt(example.prompt, task.chat), example.completion)
        prompt, completion = known[name]
        counts = [not completion_only] * len(prompt) + [True] * len(completion)
        text = EncodedText(prompt + completion, counts)
        if not example.prompt:
            texts.append(text)
            continue
        longest = max(longest, len(text.tokens) - 1)
        if longest > limit:
            way_out = "shorten it or raise --length" if length else "shorten it or choose a model with a longer context"
            raise UsageError(
                f"{example.source or 'a demonstration'} has {longest + 1} tokens with its prompt, and a row takes "
                f"{limit + 1}; {way_out}"
            )
        whole.append(text)
    # Choose the rows' length, split what may be split, and pack.
    if not length:
        longest = max([longest, *(min(len(text.tokens) - 1, LONGEST) for text in texts)])
        length = min(bucket(max(longest, 64) if packing else longest), context)
    return pack(
        whole + [part for text in texts for part in split_text(text, length)], length, tokenizer.pad_id, packing
    )
