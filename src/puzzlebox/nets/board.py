"""Networks for board games: a trunk of residual blocks, a policy head and a value head (Silver et al. 2017).

``conv`` convolves the board 3×3; ``mlp`` sees it as one vector, and serves every observation. A convolution is written
as nine shifted slices and one matrix product, which XLA runs several times as fast on a CPU as its own convolution.

Departures: no batch normalisation, whose running means are awkward to average over agents and games; instead the last
layer of every block starts at zero, so that the blocks start as the identity and the network is easy to train. Both
heads share one layer that sees the whole board.
"""

from __future__ import annotations

import math

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp

from puzzlebox.errors import UsageError
from puzzlebox.types import Array, Key


def require_board(space: gymnasium.Space) -> tuple[int, int, int]:
    """Height, width and planes of what is seen; raises UsageError where it is no such board, which conv needs."""
    if space.shape is None or len(space.shape) != 3:
        raise UsageError(
            f"network is conv, which needs a board of height × width × planes; this world shows {space.shape}: take mlp"
        )
    height, width, planes = space.shape
    return height, width, planes


class Layer(eqx.Module):
    """x ``[..., inputs]`` -> x W + b ``[..., outputs]``; normal weights with variance ``gain`` / inputs."""

    weight: Array
    bias: Array

    def __init__(self, inputs: int, outputs: int, *, key: Key, gain: float = 2.0):
        self.weight = math.sqrt(gain / inputs) * jax.random.normal(key, (inputs, outputs))
        self.bias = jnp.zeros(outputs)

    def __call__(self, x: Array) -> Array:
        return x @ self.weight + self.bias


def patches(x: Array) -> Array:
    """Every square with its eight neighbours, zeros outside: ``[..., H, W, C] -> [..., H, W, 9 C]``."""
    height, width = x.shape[-3:-1]
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1), (0, 0)])
    shifts = [padded[..., i : i + height, j : j + width, :] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifts, axis=-1)


class Block(eqx.Module):
    """relu(x + f(x)) where f is two layers; each sees a square's neighbours if ``conv``. f starts at zero."""

    first: Layer
    second: Layer
    conv: bool = eqx.field(static=True)

    def __init__(self, width: int, conv: bool, *, key: Key):
        inputs = 9 * width if conv else width
        first_key, second_key = jax.random.split(key)
        self.first = Layer(inputs, width, key=first_key)
        self.second = Layer(inputs, width, key=second_key, gain=0.0)
        self.conv = conv

    def __call__(self, x: Array, between: Array | float = 0.0) -> Array:
        """``x [..., H, W, width]`` (without ``conv`` ``[..., width]``); ``between`` is added after the first layer."""
        see = patches if self.conv else lambda x: x
        return jax.nn.relu(x + self.second(see(jax.nn.relu(self.first(see(x)) + between))))


class BoardNetwork(eqx.Module):
    """Observation ``[..., *shape]`` -> logits ``[..., U]`` and value ``[...]`` in (−1, 1) for the player to move."""

    first: Layer
    blocks: tuple[Block, ...]
    join: Layer
    policy: Layer
    value: Layer
    shape: tuple[int, ...] = eqx.field(static=True)
    conv: bool = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...],
        actions: int,
        *,
        conv: bool,
        width: int,
        num_blocks: int,
        head_width: int,
        key: Key,
    ):
        first_key, blocks_key, join_key, policy_key, value_key = jax.random.split(key, 5)
        self.shape, self.conv = shape, conv
        inputs = 9 * shape[-1] if conv else math.prod(shape)
        joined = width * math.prod(shape[:-1]) if conv else width
        self.first = Layer(inputs, width, key=first_key)
        self.blocks = tuple(Block(width, conv, key=key) for key in jax.random.split(blocks_key, num_blocks))
        self.join = Layer(joined, head_width, key=join_key)
        self.policy = Layer(head_width, actions, key=policy_key, gain=1e-4)
        self.value = Layer(head_width, 1, key=value_key, gain=1e-4)

    def __call__(self, observation: Array) -> tuple[Array, Array]:
        batch = observation.shape[: observation.ndim - len(self.shape)]
        x = observation.astype(jnp.float32)
        x = patches(x) if self.conv else x.reshape(*batch, -1)
        x = jax.nn.relu(self.first(x))
        for block in self.blocks:
            x = block(x)
        x = jax.nn.relu(self.join(x.reshape(*batch, -1)))
        return self.policy(x), jnp.tanh(self.value(x)[..., 0])
