"""The decoder transformer: one parametrised module for llama, qwen, gemma, gpt2, gpt_neox and models of our own.

Sources: Vaswani et al. 2017; RoPE, Su et al. 2021; grouped queries, Ainslie et al. 2023; the families' own reports.

Shape letters: ``B`` rows, ``T`` tokens of a row, ``S`` slots of a cache, ``H`` heads, ``K`` key/value heads, ``D``
width of a head, ``V`` vocabulary.

Departures: layers are a Python list, not a scan, because a scan on a CPU copies each layer's weights. A norm's weight
is what multiplies (gemma's files hold weight − 1; the reader adds it). Everything is computed in the weights' type,
norms, softmax and logits in at least float32.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.nets.linear import Linear, linear, product
from puzzlebox.types import Array, Key

ACTIVATIONS = {
    "silu": jax.nn.silu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "relu": jax.nn.relu,
}


class DecoderConfig(NamedTuple):
    """The shape of a decoder, and the switches in which the families differ.

    ``windows`` has one entry per layer: how many tokens it attends to, itself included; 0 for all. () for none.
    """

    vocab_size: int
    width: int = 128
    num_layers: int = 4
    num_heads: int = 4
    num_kv_heads: int = 4
    head_dim: int = 32
    hidden: int = 384  # width inside the feed-forward part
    context: int = 1024  # the longest row, in tokens, that it was made for
    norm: str = "rms"  # or "layer"
    norm_epsilon: float = 1e-5
    activation: str = "silu"
    gated: bool = True
    positions: str = "rope"  # or "learned"
    rope_base: float = 10_000.0
    rope_local_base: float = 0.0  # of layers with a window; 0: rope_base
    rope_fraction: float = 1.0  # of a head's width that is rotated
    rope_scaling: tuple = ()  # ("linear", factor) or ("llama3", factor, low, high, original context)
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    sandwich: bool = False  # a norm after attention and feed-forward too, not only before (gemma)
    parallel: bool = False  # attention and feed-forward have the same input (gpt_neox)
    windows: tuple[int, ...] = ()
    attention_softcap: float = 0.0  # scores x become cap · tanh(x / cap); 0: they stay
    logit_softcap: float = 0.0  # likewise the logits
    embed_scale: float = 1.0
    query_scale: float = 0.0  # what queries are multiplied by; 0: 1/√head_dim
    tied: bool = True  # the embedding is also the output layer


class Cache(NamedTuple):
    """Keys and values of the tokens so far, ``[B, K, S, D]`` per layer; row b's text begins at slot ``start[b]``."""

    keys: tuple[Array, ...]
    values: tuple[Array, ...]
    start: Array  # int32 [B]: slots before it are padding
    length: Array  # int32: slots used, the same in all rows

    def repeat(self, count: int) -> Cache:
        """Every row ``count`` times, in consecutive rows: ``[B · count, …]``."""
        keys, values, start = jax.tree.map(lambda x: jnp.repeat(x, count, axis=0), self[:3])
        return Cache(keys, values, start, self.length)


class Norm(eqx.Module):
    """RMS norm, or layer norm where there is a ``bias``; at least float32 inside, ``[..., width]``."""

    weight: Array
    bias: Array | None
    epsilon: float = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if self.bias is not None:
            y = y - y.mean(-1, keepdims=True)
        y = y * jax.lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + self.epsilon) * self.weight
        return (y if self.bias is None else y + self.bias).astype(x.dtype)


class Attention(eqx.Module):
    """The weights of attention; `Decoder._run` and `attention` compute with them."""

    query: Linear
    key: Linear
    value: Linear
    out: Linear
    query_norm: Norm | None
    key_norm: Norm | None


class FeedForward(eqx.Module):
    """down(act(up x)), or gated: down(act(gate x) · up x)."""

    gate: Linear | None
    up: Linear
    down: Linear

    def __call__(self, x: Array, activation: str) -> Array:
        act = ACTIVATIONS[activation]
        inner = act(self.up(x)) if self.gate is None else act(self.gate(x)) * self.up(x)
        return self.down(inner)


class Layer(eqx.Module):
    """One layer: attention and feed-forward, each with its norms."""

    attention_norm: Norm
    attention: Attention
    attention_post_norm: Norm | None
    feed_forward_norm: Norm
    feed_forward: FeedForward
    feed_forward_post_norm: Norm | None


class Decoder(eqx.Module):
    """Tokens in, logits of each next token out. ``config`` is static; all arrays can be trained."""

    config: DecoderConfig = eqx.field(static=True)
    embedding: Array  # [V, width]
    positions: Array | None  # [context, width]
    layers: list[Layer]
    norm: Norm
    output: Linear | None  # None: the embedding, transposed

    def __init__(self, config: DecoderConfig, key: Key):
        """A new model: normal weights with standard deviation ½/√inputs, embeddings 0.1.

        Layers that write to the residual stream are scaled by 1/√(2 · layers), as in GPT-2. GPT-2's own 0.02 suits its
        width of 768; in a model of width 64 the first layers would drown the embeddings, and learning takes four times
        as long.
        """
        embedding_key, position_key, layers_key, output_key = jax.random.split(key, 4)
        self.config = config
        self.embedding = 0.1 * jax.random.normal(embedding_key, (config.vocab_size, config.width))
        learned = config.positions == "learned"
        self.positions = 0.01 * jax.random.normal(position_key, (config.context, config.width)) if learned else None
        self.layers = [new_layer(config, k) for k in jax.random.split(layers_key, config.num_layers)]
        self.norm = new_norm(config, config.width)
        self.output = None if config.tied else linear(output_key, config.width, config.vocab_size, bias=False)

    def __call__(self, tokens: Array, positions: Array | None = None, segments: Array | None = None) -> Array:
        """``tokens`` int ``[B, T]`` -> logits ``[B, T, V]``."""
        return self.logits(self.hidden_states(tokens, positions, segments))

    def hidden_states(self, tokens: Array, positions: Array | None = None, segments: Array | None = None) -> Array:
        """The hidden states after the last layer and its norm, ``[B, T, width]``: the input of `logits`.

        ``tokens`` int ``[B, T]`` are padded on the right, so no real token attends to padding. Packed rows have
        ``segments [B, T]``, whose tokens attend only to their own segment, and ``positions [B, T]``, which start again
        in each.
        """
        length = tokens.shape[1]
        where = jnp.arange(length)
        positions = where[None] if positions is None else positions
        back = where[:, None] - where[None, :]  # [T, T], how many tokens before the query a key lies
        same = None if segments is None else segments[:, None, None, :, None] == segments[:, None, None, None, :]

        def attend(query: Array, key: Array, value: Array, window: int, _: int) -> Array:
            mask = (back >= 0) if not window else (back >= 0) & (back < window)
            return attention(self.config, query, key, value, mask if same is None else mask & same)

        return self._run(tokens, positions, attend)

    def logits(self, x: Array) -> Array:
        """``[..., width]`` -> ``[..., V]``, in at least float32."""
        logits = product(x, self.embedding) if self.output is None else self.output(x)
        logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        cap = self.config.logit_softcap
        return cap * jnp.tanh(logits / cap) if cap else logits

    def empty_cache(self, start: Array, slots: int) -> Cache:
        """An empty cache of ``slots`` tokens for rows whose text begins at ``start`` (int32 ``[B]``)."""
        c = self.config
        shape = (start.shape[0], c.num_kv_heads, slots, c.head_dim)
        zeros = tuple(jnp.zeros(shape, self.embedding.dtype) for _ in self.layers)
        return Cache(zeros, zeros, start, jnp.int32(0))

    def extend(self, tokens: Array, cache: Cache) -> tuple[Array, Cache]:
        """Reads ``tokens [B, T]`` behind those in ``cache``; returns hidden states ``[B, T, width]`` and the new cache.

        Rows are padded on the left so that all end together. There must be slots left: beyond the last one keys would
        overwrite others without an error.
        """
        length, slots = tokens.shape[1], cache.keys[0].shape[2]
        places = cache.length + jnp.arange(length)
        positions = jnp.maximum(places[None] - cache.start[:, None], 0)
        back = places[:, None] - jnp.arange(slots)
        real = jnp.arange(slots) >= cache.start[:, None]
        mask = ((back >= 0) & real[:, None, :])[:, None, None]
        keys, values = list(cache.keys), list(cache.values)

        def attend(query: Array, key: Array, value: Array, window: int, i: int) -> Array:
            corner = (0, 0, cache.length, 0)
            keys[i] = jax.lax.dynamic_update_slice(keys[i], key, corner)
            values[i] = jax.lax.dynamic_update_slice(values[i], value, corner)
            return attention(self.config, query, keys[i], values[i], mask & (back < window) if window else mask)

        x = self._run(tokens, positions, attend)
        return x, Cache(tuple(keys), tuple(values), cache.start, cache.length + length)

    def _run(self, tokens: Array, positions: Array, attend) -> Array:
        """The layers; ``attend(query, key, value, window, layer)`` is attention, with a cache or without."""
        # embeddings, and the rotations of positions: one for layers with a window, one for the others
        c = self.config
        x = self.embedding[tokens] * jnp.asarray(c.embed_scale, self.embedding.dtype)
        if self.positions is not None:
            x = x + self.positions[positions]
        angles = {}
        if c.positions == "rope":
            angles[False] = rotation(frequencies(c, c.rope_base, c.rope_scaling), positions)
            angles[True] = (
                rotation(frequencies(c, c.rope_local_base, ()), positions) if c.rope_local_base else angles[False]
            )
        windows = c.windows or (0,) * c.num_layers
        for i, (layer, window) in enumerate(zip(self.layers, windows, strict=True)):
            # attention
            part = layer.attention
            y = layer.attention_norm(x)
            query = split_heads(part.query(y), c.num_heads)
            key = split_heads(part.key(y), c.num_kv_heads)
            value = split_heads(part.value(y), c.num_kv_heads)
            if part.query_norm is not None and part.key_norm is not None:
                query, key = part.query_norm(query), part.key_norm(key)
            if angles:
                query, key = rotate(query, *angles[bool(window)]), rotate(key, *angles[bool(window)])
            attended = part.out(join_heads(attend(query, key, value, window, i)))
            if layer.attention_post_norm is not None:
                attended = layer.attention_post_norm(attended)

            # feed-forward, and both onto the residual stream
            z = layer.feed_forward_norm(x if c.parallel else x + attended)
            fed = layer.feed_forward(z, c.activation)
            if layer.feed_forward_post_norm is not None:
                fed = layer.feed_forward_post_norm(fed)
            x = x + attended + fed
        return self.norm(x)


def new_norm(config: DecoderConfig, width: int) -> Norm:
    return Norm(jnp.ones(width), jnp.zeros(width) if config.norm == "layer" else None, config.norm_epsilon)


def new_layer(c: DecoderConfig, key: Key) -> Layer:
    keys = jax.random.split(key, 7)
    towards_residual = 0.5 / math.sqrt(2 * c.num_layers)
    inner, outer = c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim
    attention = Attention(
        linear(keys[0], c.width, inner, c.qkv_bias),
        linear(keys[1], c.width, outer, c.qkv_bias),
        linear(keys[2], c.width, outer, c.qkv_bias),
        linear(keys[3], inner, c.width, c.out_bias, towards_residual),
        new_norm(c, c.head_dim) if c.qk_norm else None,
        new_norm(c, c.head_dim) if c.qk_norm else None,
    )
    feed_forward = FeedForward(
        linear(keys[4], c.width, c.hidden, c.mlp_bias) if c.gated else None,
        linear(keys[5], c.width, c.hidden, c.mlp_bias),
        linear(keys[6], c.hidden, c.width, c.mlp_bias, towards_residual),
    )
    post = (new_norm(c, c.width), new_norm(c, c.width)) if c.sandwich else (None, None)
    return Layer(new_norm(c, c.width), attention, post[0], new_norm(c, c.width), feed_forward, post[1])


def split_heads(x: Array, heads: int) -> Array:
    """``[B, T, heads · D]`` -> ``[B, heads, T, D]``."""
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def join_heads(x: Array) -> Array:
    """``[B, H, T, D]`` -> ``[B, T, H · D]``."""
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)


def attention(c: DecoderConfig, query: Array, key: Array, value: Array, mask: Array) -> Array:
    """softmax(scale · q kᵀ) v over the slots where ``mask`` is True.

    Shapes: ``query [B, H, T, D]``, ``key`` and ``value [B, K, S, D]`` (H / K query heads share one), ``mask``
    broadcasts to ``[B, K, H / K, T, S]``; returns ``[B, H, T, D]``.
    """
    batch, heads, length, width = query.shape
    group = heads // c.num_kv_heads
    query = (query * (c.query_scale or width**-0.5)).reshape(batch, c.num_kv_heads, group * length, width)
    score = jnp.einsum("bkqd,bksd->bkqs", query, key)
    score = score.astype(jnp.promote_types(score.dtype, jnp.float32)).reshape(
        batch, c.num_kv_heads, group, length, key.shape[2]
    )
    if c.attention_softcap:
        score = c.attention_softcap * jnp.tanh(score / c.attention_softcap)
    weight = jax.nn.softmax(jnp.where(mask, score, -1e30), axis=-1).astype(value.dtype)
    weight = weight.reshape(batch, c.num_kv_heads, group * length, key.shape[2])
    return jnp.einsum("bkqs,bksd->bkqd", weight, value).reshape(batch, heads, length, width)


def frequencies(c: DecoderConfig, base: float, scaling: tuple) -> np.ndarray:
    """Radians per token of each rotated pair, ``[rotated / 2]``; scaled for long contexts where the file says so."""
    rotated = int(c.head_dim * c.rope_fraction)
    inverse = base ** (-np.arange(0, rotated, 2, dtype=np.float64) / rotated)
    if scaling and scaling[0] == "linear":
        inverse = inverse / scaling[1]
    elif scaling:  # llama3: long waves are slowed by the factor, short ones kept, those between blended
        _, factor, low, high, original = scaling
        turns = original * inverse / (2 * np.pi)
        blend = np.clip((turns - low) / (high - low), 0.0, 1.0)
        inverse = inverse * (blend + (1 - blend) / factor)
    return inverse.astype(np.float32)


def rotation(inverse: np.ndarray, positions: Array) -> tuple[Array, Array]:
    """cos and sin ``[B, 1, T, rotated / 2]`` for ``positions [B, T]``."""
    angle = positions[:, None, :, None].astype(jnp.float32) * inverse
    return jnp.cos(angle), jnp.sin(angle)


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """RoPE: turns each pair (x_i, x_{i + rotated/2}) of a head by its angle; the rest of the head stays."""
    half = cos.shape[-1]
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    cos, sin = cos.astype(x.dtype), sin.astype(x.dtype)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin, rest], axis=-1)
