import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.ops.masks import masked_mean, masked_sum, normalise

X = jnp.array([[1.0, 2.0, 6.0], [4.0, jnp.nan, jnp.inf]])
MASK = jnp.array([[True, True, True], [True, False, False]])


def test_means_by_hand():
    np.testing.assert_allclose(masked_sum(X, MASK), 13.0)
    np.testing.assert_allclose(masked_mean(X, MASK), 13 / 4)  # token mean
    np.testing.assert_allclose(masked_mean(X, MASK, axis=-1), [3.0, 4.0])
    np.testing.assert_allclose(masked_mean(X, MASK, axis=-1).mean(), 3.5)  # sequence mean
    np.testing.assert_allclose(masked_mean(X, jnp.array([True, False, False])), 2.5)  # a mask that broadcasts


def test_a_mean_over_nothing_is_zero_with_zero_gradient():
    nothing = jnp.zeros((2, 3), bool)
    assert float(masked_mean(X, nothing)) == 0.0
    np.testing.assert_array_equal(jax.grad(lambda x: masked_mean(x, nothing))(X), 0.0)
    np.testing.assert_array_equal(normalise(X, nothing), 0.0)


def test_padding_changes_neither_value_nor_gradient():
    gradient = jax.grad(lambda x: masked_mean(jnp.square(x), MASK))(X.at[1, 1:].set(1e30))
    np.testing.assert_allclose(gradient, [[0.5, 1.0, 3.0], [2.0, 0.0, 0.0]])


def test_normalise_is_what_numpy_says():
    x = jax.random.normal(jax.random.key(0), (5, 7)) * 3 + 2
    expected = (np.asarray(x) - np.mean(x)) / np.std(x)
    np.testing.assert_allclose(normalise(x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(normalise(x, jnp.ones_like(x, bool)), expected, rtol=1e-4, atol=1e-5)
    counts = np.array([1.0, 2.0, 6.0, 4.0])
    whitened = normalise(X, MASK)
    np.testing.assert_allclose(whitened[MASK], (counts - counts.mean()) / counts.std(), rtol=1e-5)
    np.testing.assert_array_equal(whitened[~MASK], 0.0)


def test_normalise_along_an_axis():
    x = jax.random.normal(jax.random.key(1), (4, 6))
    expected = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    np.testing.assert_allclose(normalise(x, axis=1), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(normalise(x, jnp.ones_like(x, bool), axis=1), expected, rtol=1e-4, atol=1e-5)


def test_normalising_equal_numbers_gives_zeros():
    np.testing.assert_array_equal(normalise(jnp.full(5, 3.0)), 0.0)
