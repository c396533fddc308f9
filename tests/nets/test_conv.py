"""Convolutions as matrix products, against XLA's own and against sums written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from puzzlebox.nets.conv import PART, Torso, blocks, conv, conv_by_products, in_parts, is_picture

SHAPES = [  # height, width, channels, outputs, kernel, stride
    (12, 12, 2, 3, 8, 4),
    (15, 13, 1, 2, 4, 2),
    (6, 5, 3, 4, 3, 1),
    (4, 4, 1, 1, 4, 4),
    (7, 9, 2, 2, 2, 1),
]


def picture(*sides):
    return spaces.Box(0, 255, sides, np.uint8)


def ordinary(x, weight, stride):
    return jax.lax.conv_general_dilated(
        x, weight, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def data(height, width, channels, outputs, size):
    keys = jax.random.split(jax.random.key(height), 3)
    x = jax.random.normal(keys[0], (3, height, width, channels))
    return x, jax.random.normal(keys[1], (size, size, channels, outputs))


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_the_ordinary_convolutions(shape):
    stride = shape[-1]
    x, weight = data(*shape[:-1])
    expected = ordinary(x, weight, stride)
    np.testing.assert_allclose(conv_by_products(x, weight, stride), expected, atol=1e-4)
    towards = jax.random.normal(jax.random.key(9), expected.shape)

    def gradients(f):
        return jax.grad(lambda x, w: (f(x, w, stride) * towards).sum(), argnums=(0, 1))(x, weight)

    for ours, theirs in zip(gradients(conv_by_products), gradients(ordinary), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_one_number_written_out():
    x = np.arange(2 * 6 * 6 * 2, dtype=np.float32).reshape(2, 6, 6, 2)
    weight = np.linspace(-1, 1, 4 * 4 * 2 * 3, dtype=np.float32).reshape(4, 4, 2, 3)
    y = conv_by_products(jnp.asarray(x), jnp.asarray(weight), 2)
    assert y.shape == (2, 2, 2, 3)
    by_hand = sum(x[1, 0 + a, 2 + b, c] * weight[a, b, c, 2] for a in range(4) for b in range(4) for c in range(2))
    np.testing.assert_allclose(y[1, 0, 1, 2], by_hand, rtol=1e-5)


def test_whole_numbers_enter_as_they_are_and_have_no_gradient():
    pixels = jax.random.randint(jax.random.key(0), (3, 12, 12, 2), 0, 256, jnp.uint8)
    _, weight = data(12, 12, 2, 3, 8)
    np.testing.assert_allclose(
        conv(pixels, weight, 4), ordinary(pixels.astype(jnp.float32), weight, 4), rtol=1e-4, atol=1e-2
    )
    gradient = jax.grad(lambda w: jnp.square(conv(pixels, w, 4)).mean())(weight)
    expected = jax.grad(lambda w: jnp.square(ordinary(pixels.astype(jnp.float32), w, 4)).mean())(weight)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3)


def test_many_agents_are_one_batch():
    xs, weights = (jnp.stack(pair) for pair in zip(data(12, 12, 2, 3, 8), data(12, 12, 2, 3, 8), strict=True))
    xs = jnp.stack([data(12, 12, 2, 3, 8)[0], data(12, 12, 2, 3, 8)[0] + 1])
    weights = jnp.stack([data(12, 12, 2, 3, 8)[1], data(12, 12, 2, 3, 8)[1] * 2])
    together = jax.vmap(lambda x, w: conv_by_products(x, w, 4))(xs, weights)
    for agent in range(2):
        np.testing.assert_allclose(together[agent], ordinary(xs[agent], weights[agent], 4), atol=1e-3)


def test_blocks_hold_squares():
    x = jnp.arange(4 * 4).reshape(1, 4, 4, 1)
    assert blocks(x, 2).tolist() == [[[[0, 1, 4, 5], [2, 3, 6, 7]], [[8, 9, 12, 13], [10, 11, 14, 15]]]]


@pytest.mark.parametrize("count", [1, 4, 8, 10])
def test_parts_change_nothing(count):
    x = jnp.arange(count * 3.0).reshape(count, 3)
    np.testing.assert_array_equal(in_parts(lambda rows: rows * 2 + 1, x, 4), x * 2 + 1)


@pytest.mark.parametrize(("sides", "features"), [((84, 84, 4), 3136), ((36, 40, 1), 64 * 1 * 1), ((10, 10, 4), 1024)])
def test_sizes(sides, features):
    torso = Torso(picture(*sides), (), key=jax.random.key(0), initial="uniform")
    pictures = jnp.zeros((2, *sides), jnp.uint8)
    assert torso.features == features
    assert jax.eval_shape(torso, pictures).shape == (2, features)
    assert jax.eval_shape(torso, pictures[0]).shape == (features,)


def test_the_nature_network_is_the_papers():
    torso = Torso(picture(84, 84, 4), (512,), key=jax.random.key(0), initial="uniform")
    shapes = [(8, 8, 4, 32), (4, 4, 32, 64), (3, 3, 64, 64)]
    assert [kernel.shape for kernel in torso.kernels] == shapes
    assert [weight.shape for weight in torso.weights] == [(3136, 512)]
    assert torso.features == 512
    count = PART + 3
    pixels = jax.random.randint(jax.random.key(1), (count, 84, 84, 4), 0, 256, jnp.uint8)

    def plain(torso):
        x = pixels.astype(jnp.float32) / 255
        for kernel, bias, stride in zip(torso.kernels, torso.kernel_biases, (4, 2, 1), strict=True):
            x = jax.nn.relu(ordinary(x, kernel, stride) + bias)
        return jax.nn.relu(x.reshape(count, -1) @ torso.weights[0] + torso.biases[0])

    def loss(f, torso):
        return jnp.square(f(torso)).sum()

    np.testing.assert_allclose(torso(pixels), plain(torso), atol=1e-4)
    ours = jax.tree.leaves(jax.grad(lambda t: loss(lambda t: t(pixels), t))(torso))
    theirs = jax.tree.leaves(jax.grad(lambda t: loss(plain, t))(torso))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_orthogonal_layers_keep_lengths():
    torso = Torso(picture(10, 10, 2), (16,), key=jax.random.key(0))
    kernel = np.asarray(torso.kernels[0]).reshape(18, 16)
    np.testing.assert_allclose(kernel.T @ kernel, 2 * np.eye(16), atol=1e-4)


def test_what_a_picture_is():
    assert is_picture(picture(84, 84, 4))
    assert is_picture(spaces.Box(0, 1, (4, 4, 1), np.float32))
    assert not is_picture(spaces.Box(0, 255, (2, 40, 1), np.uint8))
    assert not is_picture(spaces.Box(0, 255, (84, 84), np.uint8))
    assert not is_picture(spaces.Discrete(3))
    ones = spaces.Box(0, 1, (5, 5, 1), np.uint8)
    assert Torso(ones, (), key=jax.random.key(0)).largest == 1
