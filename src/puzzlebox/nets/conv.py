"""Networks for pictures: convolutions, then dense layers, in the form that the machine at hand computes fastest.

Sources: Mnih et al. 2015, the network of "Human-level control through deep reinforcement learning" (32 8×8 stride 4,
64 4×4 stride 2, 64 3×3 stride 1, dense 512), for pictures of 36 × 36 and more; Young & Tian 2019, "MinAtar" (16 3×3,
dense 128), for smaller ones. How wide the dense layers are is the caller's choice.

XLA's own convolution is slow on a CPU. There a convolution is written as matrix products: a stride s turns into stride
1 on blocks of s × s pixels. What a kernel sees, side by side, is then multiplied with the kernel: with the whole of it,
or, where it has 2 × 2 blocks, each row of what is seen with both of its rows, whose results are added up, one below the
other. The gradient has the same form. Batches go through in parts that stay in the cache. On a GPU it is the ordinary
convolution.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from puzzlebox.nets.mlp import orthogonal, uniform
from puzzlebox.types import Array, Key

NATURE = ((32, 8, 4), (64, 4, 2), (64, 3, 1))  # channels, kernel, stride
SMALL = ((16, 3, 1),)
NATURE_SIZE = 36  # pixels a side that the first network needs at least
WHOLE = 3  # kernels of this size and more, in blocks, see all their rows side by side, smaller ones row by row
PART = 16  # pictures that go through the convolutions together on a CPU


def is_picture(space: spaces.Space) -> bool:
    """Whether observations are pictures: a Box ``(height, width, channels)`` of at least 3 × 3 pixels."""
    return isinstance(space, spaces.Box) and len(space.shape) == 3 and min(space.shape[:2]) >= 3


def conv(x: Array, weight: Array, stride: int) -> Array:
    """y[n, i, j, o] = Σ_{a, b, c} x[n, i s + a, j s + b, c] w[a, b, c, o], only where the kernel fits in whole.

    ``x [N, H, W, C]`` of any number type, ``weight`` float ``[k, k, C, O]`` with k a multiple of the stride s ->
    ``[N, (H − k) // s + 1, (W − k) // s + 1, O]``. Whole-numbered pictures have no gradient.
    """
    if jax.default_backend() == "cpu":
        return conv_by_products(x, weight, stride)
    return jax.lax.conv_general_dilated(
        x.astype(weight.dtype), weight, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def conv_by_products(x: Array, weight: Array, stride: int) -> Array:
    """`conv` as matrix products."""
    size = weight.shape[0]
    height, width = (stride * ((side - size) // stride) + size for side in x.shape[1:3])
    x = x[:, :height, :width]  # what no kernel reaches
    channels, outputs = weight.shape[2:]
    kernels = weight.reshape(size // stride, stride, size // stride, stride, channels, outputs)
    kernels = kernels.transpose(0, 2, 1, 3, 4, 5).reshape(size // stride, size // stride, -1, outputs)
    return _stride_one(blocks(x, stride), kernels)


def blocks(x: Array, size: int) -> Array:
    """Squares of pixels as one pixel of many channels: ``[N, H, W, C] -> [N, H / size, W / size, size² C]``."""
    if size == 1:
        return x
    count, height, width, channels = x.shape
    if x.dtype == jnp.uint8 and channels == 4:  # a pixel's four bytes move as one word, many times as fast
        words = blocks(jax.lax.bitcast_convert_type(x, jnp.uint32)[..., None], size)
        return jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(*words.shape[:3], -1)
    x = x.reshape(count, height // size, size, width // size, size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(count, height // size, width // size, -1)


@jax.custom_vjp
def _stride_one(x: Array, kernels: Array) -> Array:
    """The convolution with stride 1: ``[N, H, W, C]`` and ``[k, k, C, O]`` -> ``[N, H − k + 1, W − k + 1, O]``."""
    size, outputs = kernels.shape[0], kernels.shape[-1]
    shifts = size // _rows(size)
    height = x.shape[1] - size + 1
    z = _seen(x, kernels) @ _side_by_side(kernels)
    z = z.reshape(*z.shape[:3], shifts, outputs)
    return sum(z[:, i : i + height, :, i] for i in range(shifts))  # type: ignore[return-value]


def _forward(x: Array, kernels: Array) -> tuple[Array, tuple[Array, Array]]:
    return _stride_one(x, kernels), (x, kernels)


def _backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array | None, Array]:
    x, kernels = saved
    size, _, channels, outputs = kernels.shape
    rows = _rows(size)
    shifts = size // rows

    # the kernels' gradient: what they saw, times the gradient of what each of their rows gave
    copies = [jnp.pad(dy, ((0, 0), (i, shifts - 1 - i), (0, 0), (0, 0))) for i in range(shifts)]
    dz = jnp.concatenate(copies, axis=-1)
    seen = _seen(x, kernels)
    dkernels = seen.reshape(-1, seen.shape[-1]).T @ dz.reshape(-1, dz.shape[-1])
    dkernels = dkernels.reshape(rows, size, channels, shifts, outputs).transpose(3, 0, 1, 2, 4).reshape(kernels.shape)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return None, dkernels

    # the picture's gradient: every part of what was seen goes back to its place
    dseen = (dz @ _side_by_side(kernels).T).reshape(*seen.shape[:3], rows, size, channels)
    parts = [
        jnp.pad(dseen[:, :, :, i, j], ((0, 0), (i, rows - 1 - i), (j, size - 1 - j), (0, 0)))
        for i, j in itertools.product(range(rows), range(size))
    ]
    return functools.reduce(jnp.add, parts), dkernels


def _rows(size: int) -> int:
    """How many rows of a kernel are seen side by side."""
    return size if size >= WHOLE else 1


def _seen(x: Array, kernels: Array) -> Array:
    """What r rows of a kernel see, side by side: ``[N, H, W, C] -> [N, H − r + 1, W − k + 1, r k C]``."""
    size = kernels.shape[0]
    rows = _rows(size)
    height, width = x.shape[1] - rows + 1, x.shape[2] - size + 1
    x = x.astype(kernels.dtype)
    shifts = itertools.product(range(rows), range(size))
    return jnp.concatenate([x[:, i : i + height, j : j + width] for i, j in shifts], axis=-1)


def _side_by_side(kernels: Array) -> Array:
    """``[k, k, C, O] -> [r k C, k / r O]``."""
    size, _, channels, outputs = kernels.shape
    rows = _rows(size)
    kernels = kernels.reshape(size // rows, rows, size, channels, outputs)
    return kernels.transpose(1, 2, 3, 0, 4).reshape(rows * size * channels, -1)


_stride_one.defvjp(_forward, _backward)


def in_parts(f: Callable[[Array], Array], x: Array, size: int) -> Array:
    """``f(x)`` for a function of rows, ``size`` rows of ``x [N, ...]`` at a time."""
    count = x.shape[0] // size * size
    if count <= size:
        return f(x)
    whole = jax.lax.map(f, x[:count].reshape(-1, size, *x.shape[1:]))
    whole = whole.reshape(count, *whole.shape[2:])
    return whole if count == x.shape[0] else jnp.concatenate([whole, f(x[count:])])


class Torso(eqx.Module):
    """Pictures ``[..., H, W, C]`` -> features float32 ``[..., F]``: convolutions and dense layers with rectifiers.

    Whole-numbered pixels are divided by the largest that the space allows (255), inside the first layer's weights.
    ``initial`` is "orthogonal" (gain √2, biases 0) or "uniform" (±1/√inputs), see `nets.mlp`. ``hidden`` may be empty:
    F is then all that the convolutions give.
    """

    kernels: tuple[Array, ...]
    kernel_biases: tuple[Array, ...]
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    strides: tuple[int, ...] = eqx.field(static=True)
    largest: float = eqx.field(static=True)
    pixels: int = eqx.field(static=True)  # numbers that leave the convolutions

    def __init__(self, space: spaces.Space, hidden: tuple[int, ...], *, key: Key, initial: str = "orthogonal"):
        assert isinstance(space, spaces.Box)

        # convolutions
        height, width, channels = space.shape
        layers = NATURE if min(height, width) >= NATURE_SIZE else SMALL
        kernels, kernel_biases = [], []
        conv_key, dense_key = jax.random.split(key)
        for layer_key, (outputs, size, stride) in zip(jax.random.split(conv_key, len(layers)), layers, strict=True):
            weight, bias = _initial_layer(layer_key, size * size * channels, outputs, initial)
            kernels.append(weight.reshape(size, size, channels, outputs))
            kernel_biases.append(bias)
            height, width, channels = (height - size) // stride + 1, (width - size) // stride + 1, outputs

        # dense layers
        self.pixels = height * width * channels
        shapes = list(itertools.pairwise((self.pixels, *hidden)))
        keys = jax.random.split(dense_key, max(len(shapes), 1))
        dense = [_initial_layer(k, *shape, initial) for k, shape in zip(keys, shapes, strict=False)]
        self.kernels, self.kernel_biases = tuple(kernels), tuple(kernel_biases)
        self.weights, self.biases = tuple(w for w, _ in dense), tuple(b for _, b in dense)
        self.strides = tuple(stride for _, _, stride in layers)
        self.largest = float(np.max(space.high)) if np.issubdtype(space.dtype, np.integer) else 1.0

    @property
    def features(self) -> int:
        """F, how many numbers `Torso` makes of one picture."""
        return int(self.weights[-1].shape[-1]) if self.weights else self.pixels

    def __call__(self, observation: Array) -> Array:
        batch, shape = observation.shape[:-3], observation.shape[-3:]
        pictures = observation.reshape(-1, *shape)
        on_cpu = jax.default_backend() == "cpu"
        x = in_parts(self._convolutions, pictures, PART) if on_cpu else self._convolutions(pictures)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = jax.nn.relu(x @ weight + bias)
        return x.reshape(*batch, -1)

    def _convolutions(self, x: Array) -> Array:
        kernels = (self.kernels[0] / self.largest, *self.kernels[1:])
        for kernel, bias, stride in zip(kernels, self.kernel_biases, self.strides, strict=True):
            x = jax.nn.relu(conv(x, kernel, stride) + bias)
        return x.reshape(x.shape[0], -1)


def _initial_layer(key: Key, inputs: int, outputs: int, initial: str) -> tuple[Any, Any]:
    """Weights ``[inputs, outputs]`` and biases ``[outputs]`` before training."""
    if initial == "uniform":
        return uniform(key, inputs, outputs)
    return 2.0**0.5 * orthogonal(key, inputs, outputs), jnp.zeros(outputs)
