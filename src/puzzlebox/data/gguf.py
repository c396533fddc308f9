"""Models as GGUF files, the one-file format of llama.cpp: its tensors, often quantised, become a `Decoder`'s arrays.

Source: the GGUF specification and llama.cpp's converter, whose conventions differ from Hugging Face's: in the llama
architecture the rows of query and key stand in the order that rotates neighbours; gemma's norms already hold 1 + w;
query, key and value of gpt2 and gptneox are stacked in one tensor. What the file leaves out (gemma's local rotary base,
and which layers have a window) is filled in as llama.cpp does.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

from puzzlebox.data.tensors import LAYER_LINEARS, Tensor, build, qkv
from puzzlebox.errors import UsageError
from puzzlebox.nets.decoder import Decoder, DecoderConfig, frequencies

ARCHITECTURES = ("llama", "qwen2", "qwen3", "gpt2", "gptneox", "gemma2", "gemma3")
ROPE_FACTORS = "rope_freqs.weight"
# llama.cpp's models with another query scale than 1/√head_dim, by number of layers: gemma2 27B, gemma3 27B.
WIDE_QUERIES = {"gemma2": 46, "gemma3": 62}


def load_gguf(path: str | Path, dtype: Any = jnp.float32) -> tuple[Decoder, GGUFReader]:
    """The `Decoder` in a GGUF file, dequantised to ``dtype``, and the reader, from which `Tokenizer.from_gguf` is made.

    Raises UsageError for a damaged file, an architecture or a quantisation that is not supported, and tensors that do
    not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"'{path}' does not exist; a model is a .gguf file or a Hugging Face directory")
    try:
        reader = GGUFReader(path)
    except Exception as error:  # the reader fails in whatever way the broken bytes lead to
        raise UsageError(f"{path} is no GGUF file, damaged, or was not downloaded whole: {error}") from None
    tensors = {tensor.name: tensor for tensor in reader.tensors}

    def read(name: str) -> np.ndarray:
        tensor = tensors[name]
        try:
            return dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError:
            raise UsageError(
                f"{path}: tensor {name} is quantised as {tensor.tensor_type.name}, which cannot be read; "
                "use a Q4, Q5, Q6, Q8, F16, BF16 or F32 file"
            ) from None

    arch = _value(reader, "general.architecture")
    if arch not in ARCHITECTURES:
        raise UsageError(f"{path} holds the architecture '{arch}'; supported are: {', '.join(ARCHITECTURES)}")
    factors = read(ROPE_FACTORS) if ROPE_FACTORS in tensors else None
    config = gguf_config(reader, arch, factors)
    names = [name for name in tensors if name != ROPE_FACTORS]
    return build(config, gguf_tensors(config, arch), names, read, dtype, str(path)), reader


def gguf_config(reader: GGUFReader, arch: str, factors: np.ndarray | None = None) -> DecoderConfig:
    """The decoder's shape from the file's fields; ``factors``: what the file divides the rotary frequencies by.

    ``arch`` is the file's architecture, which is also the prefix of its keys. Raises UsageError for a missing field, a
    mixture of experts, and a rotary scaling that the decoder does not have.
    """

    def value(key: str, default: Any = None) -> Any:
        found = _value(reader, f"{arch}.{key}", default)
        if found is None:
            raise UsageError(f"the GGUF file has no {arch}.{key}; download it again")
        return found

    # GGUF does not say which biases and norms a model has: the tensors that are there do.
    shapes = {tensor.name: tuple(tensor.shape) for tensor in reader.tensors}
    if value("expert_count", 0):
        raise UsageError("the GGUF file holds a mixture of experts, which is not supported")
    heads, width, layers = value("attention.head_count"), value("embedding_length"), value("block_count")
    layer_norm, gemma, gemma3 = arch in ("gpt2", "gptneox"), arch in WIDE_QUERIES, arch == "gemma3"
    head_dim = value("attention.key_length", width // heads)
    rotated = value("rope.dimension_count", head_dim)
    windows: tuple[int, ...] = ()
    if gemma:
        windows = tuple(value("attention.sliding_window") * bool((i + 1) % (6 if gemma3 else 2)) for i in range(layers))
    config = DecoderConfig(
        vocab_size=int(shapes["token_embd.weight"][1]),
        width=width,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=value("attention.head_count_kv", heads),
        head_dim=head_dim,
        hidden=value("feed_forward_length"),
        context=value("context_length"),
        norm="layer" if layer_norm else "rms",
        norm_epsilon=value("attention.layer_norm_epsilon" if layer_norm else "attention.layer_norm_rms_epsilon"),
        activation="gelu_tanh" if gemma or arch == "gpt2" else "gelu" if layer_norm else "silu",
        gated=not layer_norm,
        positions="learned" if arch == "gpt2" else "rope",
        rope_base=float(value("rope.freq_base", 1e6 if gemma3 else 1e4)),
        rope_local_base=1e4 if gemma3 else 0.0,
        rope_fraction=1.0 if arch == "gpt2" else rotated / head_dim,
        qkv_bias=layer_norm or "blk.0.attn_q.bias" in shapes,
        out_bias="blk.0.attn_output.bias" in shapes,
        mlp_bias="blk.0.ffn_up.bias" in shapes,
        qk_norm="blk.0.attn_q_norm.weight" in shapes,
        sandwich=gemma,
        parallel=arch == "gptneox" and value("use_parallel_residual", True),
        windows=windows if any(windows) else (),
        attention_softcap=value("attn_logit_softcapping", 50.0) if arch == "gemma2" else 0.0,
        logit_softcap=value("final_logit_softcapping", 30.0 if arch == "gemma2" else 0.0) if gemma else 0.0,
        embed_scale=math.sqrt(width) if gemma else 1.0,
        query_scale=(width // heads) ** -0.5 if layers == WIDE_QUERIES.get(arch) else 0.0,
        tied="output.weight" not in shapes,
    )
    # The rotary scaling: linear by a field, llama 3's by a tensor of factors.
    kind = value("rope.scaling.type", "none")
    if kind == "linear":
        return config._replace(rope_scaling=("linear", float(value("rope.scaling.factor"))))
    if kind != "none":
        raise UsageError(
            f"the GGUF file has the rotary scaling '{kind}'; supported are: none, linear, llama3's factors"
        )
    if factors is None:
        return config
    return config._replace(
        rope_scaling=llama3_scaling(config, factors, value("rope.scaling.original_context_length", 8192))
    )


def llama3_scaling(config: DecoderConfig, factors: np.ndarray, original: int) -> tuple:
    """Llama 3's scaling, recovered from the factors ``[head_dim / 2]`` that GGUF stores, one per frequency.

    Llama 3's own low and high frequency factors (1 and 4) are assumed; raises UsageError where they do not reproduce
    the file's. ``original``: the context length before scaling, in tokens.
    """
    scaling = ("llama3", float(factors.max()), 1.0, 4.0, original)
    if not np.allclose(rope_factors(config._replace(rope_scaling=scaling)), factors, rtol=1e-4):
        raise UsageError("the GGUF file has rotary factors (rope_freqs.weight) that are not those of llama 3")
    return scaling


def rope_factors(config: DecoderConfig) -> np.ndarray:
    """What the scaling divides each rotary frequency by, float32 ``[head_dim / 2]``."""
    plain = frequencies(config, config.rope_base, ())
    return (plain / frequencies(config, config.rope_base, config.rope_scaling)).astype(np.float32)


def _value(reader: GGUFReader, key: str, default: Any = None) -> Any:
    field = reader.get_field(key)
    if field is None:
        return default
    value = field.contents()
    # The file holds float32: read 1e-05, not 9.999999747378752e-06.
    return float(str(np.float32(value))) if isinstance(value, float) else value


LINEARS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_tensors(c: DecoderConfig, arch: str) -> list[Tensor]:
    """The tensors of a GGUF file of this architecture and shape, and the arrays of the `Decoder` that they hold."""
    leaves = ("weight", "bias") if c.norm == "layer" else ("weight",)
    fused = arch in ("gpt2", "gptneox")
    norms = {"attn_norm": "attention_norm", "ffn_norm": "feed_forward_norm"}
    if c.sandwich:
        norms |= {"post_attention_norm": "attention_post_norm", "post_ffw_norm": "feed_forward_post_norm"}
    if c.qk_norm:
        norms |= {"attn_q_norm": "attention.query_norm", "attn_k_norm": "attention.key_norm"}
    skipped = {"attn_q", "attn_k", "attn_v"} if fused else set()
    skipped |= set() if c.gated else {"ffn_gate"}
    linears = {LINEARS[name]: path for name, path in LAYER_LINEARS.items() if LINEARS[name] not in skipped}
    table = [Tensor("token_embd.weight", ("embedding",))]
    table += [Tensor("position_embd.weight", ("positions",))] if c.positions == "learned" else []
    table += [Tensor(f"output_norm.{leaf}", (f"norm.{leaf}",)) for leaf in leaves]
    biases = {"attention.out": c.out_bias} | {f"attention.{x}": c.qkv_bias for x in ("query", "key", "value")}
    heads = {"attention.query": c.num_heads, "attention.key": c.num_kv_heads} if arch == "llama" else {}
    for i in range(c.num_layers):
        block, tree = f"blk.{i}", f"layers.{i}"
        table += [Tensor(f"{block}.{n}.{leaf}", (f"{tree}.{p}.{leaf}",)) for n, p in norms.items() for leaf in leaves]
        if fused:
            table.append(Tensor(f"{block}.attn_qkv.weight", qkv(tree, "weight"), "rows"))
            table += [Tensor(f"{block}.attn_qkv.bias", qkv(tree, "bias"), "rows")] if c.qkv_bias else []
        for n, p in linears.items():
            kind = "pairs" if p in heads else "same"
            kept = ("weight", "bias") if biases.get(p, c.mlp_bias) else ("weight",)
            table += [Tensor(f"{block}.{n}.{leaf}", (f"{tree}.{p}.{leaf}",), kind, heads.get(p, 0)) for leaf in kept]
    return table + ([] if c.tied else [Tensor("output.weight", ("output.weight",))])
