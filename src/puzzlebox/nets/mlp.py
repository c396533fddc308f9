"""Multilayer perceptron on batches: ``[..., inputs] -> [..., outputs]``.

Orthogonal weights and zero biases (Saxe et al. 2014), the usual start for on-policy methods; ``out_scale`` is the gain
of the last layer (0.01 makes a nearly uniform first policy).
"""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp

from puzzlebox.types import Array, Key

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "silu": jax.nn.silu, "gelu": jax.nn.gelu}


def orthogonal(key: Key, rows: int, columns: int) -> Array:
    """A random matrix ``[rows, columns]`` with orthonormal rows or columns, whichever are fewer (Haar measure).

    Gram-Schmidt, twice for accuracy, instead of LAPACK's QR: on a two-core CPU the batched QR that ``vmap`` over seeds
    makes can wait for itself for ever (jaxlib 0.10.2: `ParallelBatchMap` blocks both threads of the pool).
    """
    long, short = max(rows, columns), min(rows, columns)
    gaussian = jax.random.normal(key, (long, short))

    def add_column(i: Array, basis: Array) -> Array:
        column = gaussian[:, i]
        for _ in range(2):
            column = column - basis @ (column @ basis)
        return basis.at[:, i].set(column / jnp.linalg.norm(column))

    basis = jax.lax.fori_loop(0, short, add_column, jnp.zeros_like(gaussian))
    return basis if rows >= columns else basis.T


class MLP(eqx.Module):
    """Fully connected layers with an activation between them."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        hidden: tuple[int, ...],
        outputs: int,
        *,
        key: Key,
        activation: str = "tanh",
        out_scale: float = 1.0,
    ):
        sizes = (inputs, *hidden, outputs)
        gains = [2.0**0.5] * len(hidden) + [out_scale]
        keys = jax.random.split(key, len(gains))
        self.weights = tuple(
            gain * orthogonal(k, *shape) for gain, k, shape in zip(gains, keys, itertools.pairwise(sizes), strict=True)
        )
        self.biases = tuple(jnp.zeros(size) for size in sizes[1:])
        self.activation = activation

    def __call__(self, x: Array) -> Array:
        activation = ACTIVATIONS[self.activation]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = activation(x @ weight + bias)
        return x @ self.weights[-1] + self.biases[-1]
