"""Writes a `Decoder` and its tokenizer as one GGUF file, for llama.cpp and the programs around it.

Source: the GGUF specification. Matrices are float16 or float32, vectors float32, as llama.cpp's converter writes them;
its ``llama-quantize`` makes smaller files from these.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from gguf import GGUFWriter, RopeScalingType
from gguf.constants import LlamaFileType, TokenType

from puzzlebox.data import gguf_tokenizer
from puzzlebox.data.families import family_of
from puzzlebox.data.gguf import ROPE_FACTORS, gguf_tensors, rope_factors
from puzzlebox.data.tensors import leaves, pack
from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.errors import UsageError
from puzzlebox.nets.decoder import Decoder, DecoderConfig
from puzzlebox.nets.linear import merge_lora

FILE_TYPES = {"float16": LlamaFileType.MOSTLY_F16, "float32": LlamaFileType.ALL_F32}
# A text that each of the known pre-tokenizers splits differently; the accent in it is a character of its own.
PROBE = (
    "Hello, world!! It's 12345 o'clock\n\n  x=3.14;\tI'LL go… naïve cafe\u0301 №7 4๕ 你好世界 émigré\r\n\n\n   end  "
)


def save_gguf(decoder: Decoder, tokenizer: Tokenizer, path: str | Path, dtype: str = "float16") -> None:
    """Writes a decoder of the shape of llama, qwen2 or qwen3 with its tokenizer; adapters are merged.

    ``dtype``: float16 or float32, of matrices. The file appears whole or not at all: it is written under another name
    and then renamed. Raises UsageError for another shape and for a tokenizer that GGUF has no rule for.
    """
    if dtype not in FILE_TYPES:
        raise UsageError(f"dtype is '{dtype}'; choose one of: {', '.join(FILE_TYPES)}")
    decoder = merge_lora(decoder)
    config, arch = decoder.config, family_of(decoder.config)
    if arch not in ("llama", "qwen2", "qwen3") or any(config.windows) or config.activation != "silu":
        raise UsageError(
            f"GGUF files are written of llama, qwen2 and qwen3 shapes without windows; this is {arch} with "
            f"{config.activation} and {'windows' if any(config.windows) else 'no windows'}; export it with --to hf"
        )
    words = tokenizer_fields(tokenizer, config.vocab_size)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(path.with_name(f"{path.name}.part"), arch)
    writer.add_file_type(FILE_TYPES[dtype])
    write_config(writer, config)
    write_tokenizer(writer, words)
    arrays = leaves(decoder)
    for tensor in gguf_tensors(config, arch):
        x = pack(tensor, [np.asarray(arrays[name]) for name in tensor.paths])
        writer.add_tensor(tensor.name, np.ascontiguousarray(x, np.dtype(dtype) if x.ndim > 1 else np.float32))
    if config.rope_scaling and config.rope_scaling[0] == "llama3":
        writer.add_tensor(ROPE_FACTORS, rope_factors(config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path.with_name(f"{path.name}.part").replace(path)


def write_config(writer: GGUFWriter, c: DecoderConfig) -> None:
    """The fields that describe the decoder's shape; llama 3's rotary scaling also needs the tensor `ROPE_FACTORS`."""
    writer.add_vocab_size(c.vocab_size)
    writer.add_context_length(c.context)
    writer.add_embedding_length(c.width)
    writer.add_block_count(c.num_layers)
    writer.add_feed_forward_length(c.hidden)
    writer.add_head_count(c.num_heads)
    writer.add_head_count_kv(c.num_kv_heads)
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_rope_freq_base(c.rope_base)
    writer.add_layer_norm_rms_eps(c.norm_epsilon)
    if c.rope_scaling and c.rope_scaling[0] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(c.rope_scaling[1])
    elif c.rope_scaling:
        writer.add_rope_scaling_orig_ctx_len(c.rope_scaling[4])


def tokenizer_fields(tokenizer: Tokenizer, vocab_size: int) -> dict[str, Any]:
    """The ``tokenizer.*`` fields by name. Ids that the tokenizer does not use get a name and the type "unused".

    Raises UsageError for a tokenizer that is no byte-level BPE, or that has more tokens than ``vocab_size``.
    """
    library = tokenizer.library
    described = json.loads(library.to_str())
    if described["model"]["type"] != "BPE" or described["model"].get("byte_fallback"):
        raise UsageError("GGUF files are written with byte-level BPE tokenizers only; export the model with --to hf")
    if tokenizer.vocab_size > vocab_size:
        raise UsageError(f"the tokenizer has {tokenizer.vocab_size} tokens, the model's embedding only {vocab_size}")
    tokens = [f"[PAD{i}]" for i in range(vocab_size)]
    types = [TokenType.UNUSED] * vocab_size
    for token, i in described["model"]["vocab"].items():
        tokens[i], types[i] = token, TokenType.NORMAL
    for added in described["added_tokens"]:
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], kind
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in described["model"]["merges"]]
    fields: dict[str, Any] = {
        "ggml.model": "gpt2",
        "ggml.tokens": tokens,
        "ggml.token_type": [int(kind) for kind in types],
        "ggml.merges": merges or [""],  # llama.cpp insists on the field, and an empty list cannot be written
        "ggml.eos_token_id": tokenizer.eos_id,
        "ggml.padding_token_id": tokenizer.pad_id,
        "ggml.add_bos_token": tokenizer.bos_id is not None and tokenizer.encode_prompt("a")[0] == tokenizer.bos_id,
    }
    fields |= {} if tokenizer.bos_id is None else {"ggml.bos_token_id": tokenizer.bos_id}
    others = [i for i in tokenizer.stop_ids if i != tokenizer.eos_id]
    fields |= {f"ggml.{name}_token_id": i for name, i in zip(("eot", "eom"), others, strict=False)}
    fields |= {} if tokenizer.chat_template is None else {"chat_template": tokenizer.chat_template}
    return {"ggml.pre": pre_tokenizer_name(tokenizer, fields)} | fields


def pre_tokenizer_name(tokenizer: Tokenizer, fields: dict[str, Any]) -> str:
    """GGUF's name of the rule that splits texts as this tokenizer does, found by trying each on `PROBE`.

    Raises UsageError where none gives the same tokens.
    """
    wanted = tokenizer.encode(PROBE)
    for name in gguf_tokenizer.RULES:
        # What a GGUFReader would show of the file if it were written with this rule.
        shown = {f"tokenizer.{key}": SimpleNamespace(contents=lambda x=x: x) for key, x in fields.items()}
        shown["tokenizer.ggml.pre"] = SimpleNamespace(contents=lambda name=name: name)
        parts = gguf_tokenizer.build(SimpleNamespace(fields=shown))
        if parts.library.encode(PROBE, add_special_tokens=False).ids == wanted:
            return name
    raise UsageError(
        "the tokenizer cuts texts by none of the rules that GGUF files are written with "
        f"({', '.join(gguf_tokenizer.RULES)}); export the model with --to hf"
    )


def write_tokenizer(writer: GGUFWriter, fields: dict[str, Any]) -> None:
    """Each field with the type that its Python value has; bool comes before int, since a bool is an int."""
    for name, value in fields.items():
        key = f"tokenizer.{name}"
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
