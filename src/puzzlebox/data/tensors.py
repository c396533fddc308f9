"""How the tensors of model files become the arrays of a `Decoder`, and back.

A `Decoder`'s arrays are named by their path: ``layers.3.attention.query.weight``. Most tensors of a file are such an
array under another name, but some files hold query, key and value in one tensor, gpt2's linear weights are transposed,
and gemma's norms are stored as weight − 1. A table of `Tensor` says it for every tensor of a family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.errors import UsageError
from puzzlebox.nets.decoder import Decoder, DecoderConfig
from puzzlebox.types import Array


class Tensor(NamedTuple):
    """One tensor of a file, and the arrays of the decoder that it holds.

    ``kind``: how. One array: ``same``; ``transposed``; ``minus_one``, weight − 1; ``pairs``, whose rows are ordered,
    head by head, for a rotation of neighbours instead of halves (llama in GGUF). Three arrays, query, key and value:
    ``rows``, one below the other; ``heads``, all three of one head, then of the next; ``columns``, transposed and side
    by side.
    """

    name: str  # in the file
    paths: tuple[str, ...]  # in the decoder
    kind: str = "same"
    heads: int = 0  # how many there are, for the kinds that go head by head


def unpack(tensor: Tensor, x: np.ndarray) -> list[np.ndarray]:
    """The arrays of the decoder, one for each of ``tensor.paths``, from the file's tensor ``x``."""
    kind, rest = tensor.kind, x.shape[1:]
    if kind == "transposed":
        return [x.T]
    if kind == "minus_one":
        return [x.astype(np.promote_types(x.dtype, np.float32)) + 1]
    if kind == "columns":
        return [part.T for part in np.split(x, 3, axis=-1)]
    if kind == "rows":
        return np.split(x, 3)
    if kind == "heads":
        parts = x.reshape(tensor.heads, 3, -1, *rest)
        return [parts[:, i].reshape(-1, *rest) for i in range(3)]
    if kind == "pairs":
        return [x.reshape(tensor.heads, -1, 2, *rest).swapaxes(1, 2).reshape(x.shape)]
    return [x]


def pack(tensor: Tensor, parts: list[np.ndarray]) -> np.ndarray:
    """The file's tensor from the decoder's arrays: the inverse of `unpack`."""
    kind, x, rest = tensor.kind, parts[0], parts[0].shape[1:]
    if kind == "transposed":
        return x.T
    if kind == "minus_one":
        return x - 1
    if kind == "columns":
        return np.concatenate([part.T for part in parts], axis=-1)
    if kind == "rows":
        return np.concatenate(parts)
    if kind == "heads":
        return np.stack([part.reshape(tensor.heads, -1, *rest) for part in parts], 1).reshape(-1, *rest)
    if kind == "pairs":
        return x.reshape(tensor.heads, 2, -1, *rest).swapaxes(1, 2).reshape(x.shape)
    return x


def leaves(decoder: Decoder) -> dict[str, Any]:
    """The decoder's arrays by path."""
    flat = jax.tree_util.tree_flatten_with_path(decoder)[0]
    return {path_name(path): leaf for path, leaf in flat}


def path_name(path: tuple) -> str:
    """``layers.3.attention.query.weight`` of a path of JAX keys."""
    return ".".join(str(step.name if isinstance(step, jax.tree_util.GetAttrKey) else step.idx) for step in path)


def skeleton(config: DecoderConfig) -> Decoder:
    """A `Decoder` with `jax.ShapeDtypeStruct` in place of arrays."""
    return eqx.filter_eval_shape(Decoder, config, jax.random.key(0))


def build(
    config: DecoderConfig,
    table: Iterable[Tensor],
    names: Iterable[str],
    read: Callable[[str], np.ndarray],
    dtype: Any,
    source: str,
) -> Decoder:
    """A `Decoder` from a file that holds the tensors ``names``, each fetched by ``read(name)`` when its turn comes.

    ``source`` is the file's name in error messages. Arrays become ``dtype``; gemma's norms at least float32, because
    1 + w needs more digits than w. Raises UsageError for tensors that are missing or not expected, before anything is
    read, and for one of another shape.
    """
    table, names = list(table), set(names)
    expected = {tensor.name for tensor in table}
    for what, some in (("lacks", expected - names), ("holds unexpected", names - expected)):
        if some:
            more = f" and {len(some) - 3} more" if len(some) > 3 else ""
            raise UsageError(
                f"{source} {what} {'tensors' if len(some) > 1 else 'the tensor'} {', '.join(sorted(some)[:3])}{more}; "
                "it does not fit its own configuration"
            )
    outline = skeleton(config)
    shapes = {path: leaf.shape for path, leaf in leaves(outline).items()}
    values: dict[str, Array] = {}
    for tensor in table:
        x = read(tensor.name)
        wanted = expected_shape(tensor, shapes)
        if x.shape != wanted:
            raise UsageError(f"{source}: tensor {tensor.name} has shape {x.shape}, its configuration asks for {wanted}")
        kept = jnp.promote_types(dtype, jnp.float32) if tensor.kind == "minus_one" else dtype
        for path, part in zip(tensor.paths, unpack(tensor, x), strict=True):
            values[path] = jnp.asarray(np.array(part, dtype=kept, order="C"))  # a copy: jax would share a mapped file
    return jax.tree_util.tree_map_with_path(lambda path, _: values[path_name(path)], outline)


def expected_shape(tensor: Tensor, shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of the file's tensor; ``shapes`` are those of the decoder's arrays by path."""
    rows, *rest = shapes[tensor.paths[0]]
    rows *= len(tensor.paths)
    return (*rest, rows) if tensor.kind in ("transposed", "columns") else (rows, *rest)


def huggingface_tensors(c: DecoderConfig, family: str) -> list[Tensor]:
    """The tensors of a Hugging Face model of this family and shape, and the arrays of the `Decoder` that they hold."""
    if family == "gpt2":
        return gpt2_tensors(c)
    if family == "gpt_neox":
        return neox_tensors(c)
    scale = "minus_one" if family.startswith("gemma") else "same"
    table = [Tensor("model.embed_tokens.weight", ("embedding",)), Tensor("model.norm.weight", ("norm.weight",), scale)]
    norms = {"input_layernorm": "attention_norm", "post_attention_layernorm": "feed_forward_norm"}
    if c.sandwich:
        norms |= {"post_attention_layernorm": "attention_post_norm", "pre_feedforward_layernorm": "feed_forward_norm"}
        norms |= {"post_feedforward_layernorm": "feed_forward_post_norm"}
    if c.qk_norm:
        norms |= {"self_attn.q_norm": "attention.query_norm", "self_attn.k_norm": "attention.key_norm"}
    for i in range(c.num_layers):
        file, tree = f"model.layers.{i}", f"layers.{i}"
        table += [Tensor(f"{file}.{n}.weight", (f"{tree}.{path}.weight",), scale) for n, path in norms.items()]
        for n, path in LAYER_LINEARS.items():
            table.append(Tensor(f"{file}.{n}.weight", (f"{tree}.{path}.weight",)))
            if has_bias(c, path):
                table.append(Tensor(f"{file}.{n}.bias", (f"{tree}.{path}.bias",)))
    return table + output_tensors(c, "lm_head.weight")


# The linear layers of llama and its relatives: the file's name -> the decoder's path, both within a layer.
LAYER_LINEARS = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.o_proj": "attention.out",
    "mlp.gate_proj": "feed_forward.gate",
    "mlp.up_proj": "feed_forward.up",
    "mlp.down_proj": "feed_forward.down",
}


def has_bias(c: DecoderConfig, path: str) -> bool:
    if path == "attention.out":
        return c.out_bias
    return c.qkv_bias if path.startswith("attention") else c.mlp_bias


def output_tensors(c: DecoderConfig, name: str) -> list[Tensor]:
    return [] if c.tied else [Tensor(name, ("output.weight",))]


def qkv(tree: str, leaf: str) -> tuple[str, ...]:
    """The paths of query, key and value of the layer ``tree``; ``leaf`` is weight or bias."""
    return tuple(f"{tree}.attention.{part}.{leaf}" for part in ("query", "key", "value"))


def gpt2_tensors(c: DecoderConfig) -> list[Tensor]:
    """GPT-2's linear weights are ``[inputs, outputs]``; query, key and value lie side by side in one tensor."""
    table = [Tensor("transformer.wte.weight", ("embedding",)), Tensor("transformer.wpe.weight", ("positions",))]
    table += [Tensor(f"transformer.ln_f.{leaf}", (f"norm.{leaf}",)) for leaf in ("weight", "bias")]
    norms = {"ln_1": "attention_norm", "ln_2": "feed_forward_norm"}
    linears = {"attn.c_proj": "attention.out", "mlp.c_fc": "feed_forward.up", "mlp.c_proj": "feed_forward.down"}
    for i in range(c.num_layers):
        file, tree = f"transformer.h.{i}", f"layers.{i}"
        for leaf, kind in (("weight", "transposed"), ("bias", "same")):
            table.append(Tensor(f"{file}.attn.c_attn.{leaf}", qkv(tree, leaf), "columns"))
            table += [Tensor(f"{file}.{n}.{leaf}", (f"{tree}.{p}.{leaf}",)) for n, p in norms.items()]
            table += [Tensor(f"{file}.{n}.{leaf}", (f"{tree}.{p}.{leaf}",), kind) for n, p in linears.items()]
    return table + output_tensors(c, "lm_head.weight")


def neox_tensors(c: DecoderConfig) -> list[Tensor]:
    """GPT-NeoX holds query, key and value in one tensor, head by head."""
    table = [Tensor("gpt_neox.embed_in.weight", ("embedding",))]
    table += [Tensor(f"gpt_neox.final_layer_norm.{leaf}", (f"norm.{leaf}",)) for leaf in ("weight", "bias")]
    norms = {"input_layernorm": "attention_norm", "post_attention_layernorm": "feed_forward_norm"}
    linears = {"attention.dense": "attention.out"}
    linears |= {"mlp.dense_h_to_4h": "feed_forward.up", "mlp.dense_4h_to_h": "feed_forward.down"}
    for i in range(c.num_layers):
        file, tree = f"gpt_neox.layers.{i}", f"layers.{i}"
        for leaf in ("weight", "bias"):
            table += [Tensor(f"{file}.{n}.{leaf}", (f"{tree}.{p}.{leaf}",)) for n, p in norms.items()]
            if leaf == "weight" or c.qkv_bias:
                name = f"{file}.attention.query_key_value.{leaf}"
                table.append(Tensor(name, qkv(tree, leaf), "heads", c.num_heads))
            for n, p in linears.items():
                if leaf == "weight" or has_bias(c, p):
                    table.append(Tensor(f"{file}.{n}.{leaf}", (f"{tree}.{p}.{leaf}",)))
    return table + output_tensors(c, "embed_out.weight")
