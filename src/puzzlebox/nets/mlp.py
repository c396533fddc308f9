"""Multilayer perceptron on batches: ``[..., inputs] -> [..., outputs]``.

Two ways to initialise: ``orthogonal`` weights with zero biases (Saxe et al. 2014), the usual one for on-policy methods,
where ``out_scale`` is the gain of the last layer (0.01 makes a nearly uniform first policy); and ``uniform`` weights
and biases in ±1/√inputs, for value networks with rectifiers: their kinks then lie apart, not all at the origin.
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


def uniform(key: Key, rows: int, columns: int) -> tuple[Array, Array]:
    """Weights ``[rows, columns]`` and biases ``[columns]``, all uniform in ±1/√rows (LeCun et al. 1998)."""
    drawn = jax.random.uniform(key, (rows + 1, columns), minval=-1.0, maxval=1.0) / rows**0.5
    return drawn[:-1], drawn[-1]


class MLP(eqx.Module):
    """Fully connected layers with an activation between them: ``[..., inputs] -> [..., outputs]``, float32.

    ``hidden``: widths of the layers between; ``initial`` ("orthogonal" or "uniform") and ``out_scale``: see above.
    """

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
        initial: str = "orthogonal",
        out_scale: float = 1.0,
    ):
        shapes = list(itertools.pairwise((inputs, *hidden, outputs)))
        gains = [2.0**0.5] * len(hidden) + [out_scale]
        keys = jax.random.split(key, len(shapes))
        if initial == "orthogonal":
            layers = [
                (gain * orthogonal(k, *shape), jnp.zeros(shape[1]))
                for gain, k, shape in zip(gains, keys, shapes, strict=True)
            ]
        else:
            layers = [uniform(k, *shape) for k, shape in zip(keys, shapes, strict=True)]
        self.weights, self.biases = zip(*layers, strict=True)
        self.activation = activation

    def __call__(self, x: Array) -> Array:
        activation = ACTIVATIONS[self.activation]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = activation(x @ weight + bias)
        return x @ self.weights[-1] + self.biases[-1]
