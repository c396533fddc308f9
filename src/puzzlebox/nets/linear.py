"""A linear layer, with or without a low-rank adapter: y = x Wᵀ + b, or y = x Wᵀ + b + s · (x A) B.

LoRA (Hu et al. 2021, arXiv 2106.09685) trains only A and B. B starts at zero, so training starts at the model itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from puzzlebox.errors import UsageError
from puzzlebox.types import Array, Key

FEW = 128  # so many rows, or fewer, are multiplied the other way round on a CPU


class Linear(eqx.Module):
    """x ``[..., inputs]`` -> ``[..., outputs]``; ``weight [outputs, inputs]``, as PyTorch's files have it.

    ``lora_a [inputs, rank]`` and ``lora_b [rank, outputs]``, or None.
    """

    weight: Array
    bias: Array | None = None
    lora_a: Array | None = None
    lora_b: Array | None = None
    lora_scale: float = eqx.field(default=1.0, static=True)

    def __call__(self, x: Array) -> Array:
        y = product(x, self.weight)
        if self.lora_a is not None and self.lora_b is not None:
            y = y + (self.lora_scale * ((x @ self.lora_a) @ self.lora_b)).astype(y.dtype)
        return y if self.bias is None else y + self.bias


def product(x: Array, weight: Array) -> Array:
    """x weightᵀ: ``[..., inputs]`` and ``[outputs, inputs]`` -> ``[..., outputs]``.

    With few rows, as when a token is drawn, a CPU's time goes into reading the weights, and XLA reads them a third
    faster for weight · xᵀ; the barriers keep it from turning that around again.
    """
    rows = x.reshape(-1, x.shape[-1])
    if len(rows) > FEW or jax.default_backend() != "cpu":
        return x @ weight.T
    barrier = jax.lax.optimization_barrier
    return barrier(weight @ barrier(rows.T)).T.reshape(*x.shape[:-1], -1)


def linear(key: Key, inputs: int, outputs: int, bias: bool, gain: float = 0.5) -> Linear:
    """A new layer: normal weights with standard deviation gain / √inputs, bias 0."""
    weight = gain / math.sqrt(inputs) * jax.random.normal(key, (inputs, outputs)).T
    return Linear(weight, jnp.zeros(outputs) if bias else None)


def add_lora(model: Any, rank: int, alpha: float, targets: tuple[str, ...], key: Key) -> Any:
    """``model`` with fresh adapters on every `Linear` whose field name is in ``targets`` ("all": every one).

    The adapter's output is scaled by alpha / rank. A is uniform in ±1/√inputs (as peft's default), B zero. Raises
    UsageError when a target is no layer of the model.
    """
    chosen = _chosen(model, targets)

    def adapted(layer: Linear, key: Key) -> Linear:
        outputs, inputs = layer.weight.shape
        bound = 1.0 / math.sqrt(inputs)
        a = jax.random.uniform(key, (inputs, rank), minval=-bound, maxval=bound)
        return Linear(layer.weight, layer.bias, a, jnp.zeros((rank, outputs)), alpha / rank)

    keys = jax.random.split(key, len(chosen))
    layers = [adapted(where(model), k) for where, k in zip(chosen, keys, strict=True)]
    return eqx.tree_at(lambda m: [where(m) for where in chosen], model, layers)


def scaled_layers(model: Any, rank: int, alpha: float, targets: tuple[str, ...]) -> Any:
    """What `add_lora` returns, without the adapters: the frozen part, with the scale that the adapters will have."""
    chosen = _chosen(model, targets)
    layers = [Linear(where(model).weight, where(model).bias, None, None, alpha / rank) for where in chosen]
    return eqx.tree_at(lambda m: [where(m) for where in chosen], model, layers)


def _chosen(model: Any, targets: tuple[str, ...]) -> list[Callable[[Any], Linear]]:
    places = [(path[-1].name, where) for path, where in linear_places(model)]
    names = {name for name, _ in places}
    for target in targets:
        if target != "all" and target not in names:
            raise UsageError(f"lora_targets names '{target}'; this model's layers are: {', '.join(sorted(names))}, all")
    return [where for name, where in places if "all" in targets or name in targets]


def merge_lora(model: Any) -> Any:
    """``model`` with every adapter added into its weight: the same function without adapters."""

    def merged(layer: Any) -> Any:
        if not isinstance(layer, Linear) or layer.lora_a is None or layer.lora_b is None:
            return layer
        weight = layer.weight + layer.lora_scale * (layer.lora_a @ layer.lora_b).T
        return Linear(weight.astype(layer.weight.dtype), layer.bias)

    return jax.tree.map(merged, model, is_leaf=is_linear)


def trainable(model: Any) -> Any:
    """A tree of booleans like ``model``: True for the adapters where there are any, else for every floating array."""
    adapted = any(isinstance(x, Linear) and x.lora_a is not None for x in jax.tree.leaves(model, is_leaf=is_linear))
    if not adapted:
        return jax.tree.map(eqx.is_inexact_array, model)

    def mark(layer: Any) -> Any:
        nothing = jax.tree.map(lambda _: False, layer)
        if not isinstance(layer, Linear) or layer.lora_a is None:
            return nothing
        return eqx.tree_at(lambda x: (x.lora_a, x.lora_b), nothing, (True, True))

    return jax.tree.map(mark, model, is_leaf=is_linear)


def is_linear(x: Any) -> bool:
    return isinstance(x, Linear)


def linear_places(model: Any) -> list[tuple[tuple, Callable[[Any], Linear]]]:
    """Every `Linear` of the model: its path in the tree and a function that picks it out."""
    places = jax.tree_util.tree_flatten_with_path(model, is_leaf=is_linear)[0]
    return [(path, functools.partial(_follow, path=path)) for path, leaf in places if is_linear(leaf)]


def _follow(tree: Any, path: tuple) -> Linear:
    for step in path:
        tree = getattr(tree, step.name) if isinstance(step, jax.tree_util.GetAttrKey) else tree[step.idx]
    return tree
