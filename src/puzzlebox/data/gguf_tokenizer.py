"""The byte-pair tokenizer inside a GGUF file, rebuilt for the ``tokenizers`` library.

A GGUF file holds the tokens, their types, the merges, and the name of the rule (``tokenizer.ggml.pre``) that splits a
text before the merges; the rules themselves are in the programs that read it. Source: GGUF's specification for the
keys; for each rule the ``tokenizer.json`` of the model family it is named after.

Departure: ``qwen2`` normalises to NFC, as Qwen's own tokenizer does and llama.cpp does not.
"""

from __future__ import annotations

from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from puzzlebox.data.tokenizer_files import Parts
from puzzlebox.errors import UsageError

CONTROL, USER_DEFINED = 3, 4  # GGUF's types of tokens that are no pieces of text
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3, QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    + digits
    + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in (r"\p{N}{1,3}", r"\p{N}")
)
# Splits made one after the other; each keeps its matches and what lies between them as pieces.
RULES: dict[str, tuple[str, ...]] = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"),
    "gpt-2": (GPT2,),
    "llama-bpe": (LLAMA3,),
    "qwen2": (QWEN2,),
    "smollm": (r"\p{N}", GPT2),
}


def build(reader: Any) -> Parts:
    """The tokenizer and its special ids from a ``gguf.GGUFReader``.

    Raises UsageError for a kind of tokenizer or a rule that is not in ``RULES``, and for a file that lacks tokens.
    """

    def read(key: str, default: Any = None) -> Any:
        field = reader.fields.get(f"tokenizer.{key}")
        return default if field is None else field.contents()

    # Check that the file holds a tokenizer that can be rebuilt.
    model, pre = read("ggml.model"), read("ggml.pre", "default")
    if model != "gpt2":
        raise UsageError(
            f"the GGUF file's tokenizer is of the kind '{model}'; only 'gpt2' (byte-level BPE) can be read. "
            "Use the model's Hugging Face directory instead"
        )
    if pre not in RULES:
        raise UsageError(
            f"the GGUF file's tokenizer cuts texts by the rule '{pre}'; there are: {', '.join(RULES)}. "
            "Use the model's Hugging Face directory instead"
        )
    tokens, merges = read("ggml.tokens"), read("ggml.merges")
    if not tokens or merges is None:
        raise UsageError("the GGUF file has no tokenizer.ggml.tokens or no tokenizer.ggml.merges; download it again")
    types = read("ggml.token_type") or [1] * len(tokens)
    eos_id = read("ggml.eos_token_id")
    if eos_id is None:
        raise UsageError("the GGUF file names no end-of-text token (tokenizer.ggml.eos_token_id)")
    if len(types) != len(tokens):
        raise UsageError(f"the GGUF file has {len(tokens)} tokens and {len(types)} token types; download it again")
    # Build it, then add the special tokens, in the order of their ids: a token that is in the vocabulary keeps its id.
    library = _library(tokens, merges, pre)
    library.add_tokens(
        [
            AddedToken(token, special=kind == CONTROL, normalized=False)
            for token, kind in zip(tokens, types, strict=True)
            if kind in (CONTROL, USER_DEFINED)
        ]
    )
    bos_id = read("ggml.bos_token_id")
    if bos_id is not None and read("ggml.add_bos_token", pre == "llama-bpe"):
        bos = tokens[bos_id]
        library.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, bos_id)]
        )
    stops = (read(f"ggml.{name}_token_id") for name in ("eot", "eom"))
    return Parts(
        library,
        eos_id,
        bos_id,
        read("ggml.padding_token_id"),
        read("ggml.unknown_token_id"),
        tuple(i for i in stops if i is not None),
        read("chat_template"),
    )


def _library(tokens: list[str], merges: list[str], pre: str) -> tokenizers.Tokenizer:
    vocabulary = {token: i for i, token in enumerate(tokens)}
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges if merge)]
    try:
        # Llama 3 takes a piece that is a token as it is, even where the merges do not lead to it.
        library = tokenizers.Tokenizer(models.BPE(vocabulary, pairs, ignore_merges=pre == "llama-bpe"))
    except Exception as error:  # the library raises bare Exception
        raise UsageError(f"the GGUF file's tokenizer is broken: {error}; download it again") from None
    cuts = [pre_tokenizers.Split(Regex(rule), behavior="isolated") for rule in RULES[pre]]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.pre_tokenizer = pre_tokenizers.Sequence([*cuts, to_bytes])
    library.decoder = decoders.ByteLevel()
    if pre == "qwen2":
        library.normalizer = normalizers.NFC()
    return library
