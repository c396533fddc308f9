"""The transform and its categories: hand numbers, laws, and the edges of the support."""

import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.ops.two_hot import atoms, expected_value, squash, two_hot, unsquash


@pytest.mark.parametrize(
    ("x", "y"),
    [(0.0, 0.0), (3.0, 1.003), (-3.0, -1.003), (8.0, 2.008), (99.0, 9.099), (1.0, 2**0.5 - 1 + 0.001)],
)
def test_squash_by_hand(x, y):
    """√4 − 1 + 0.003, √9 − 1 + 0.008, √100 − 1 + 0.099, …"""
    np.testing.assert_allclose(squash(jnp.float32(x)), y, rtol=1e-6)
    np.testing.assert_allclose(unsquash(jnp.float32(y)), x, rtol=1e-5, atol=1e-6)


def test_unsquash_is_the_inverse_also_of_tiny_and_huge_numbers():
    x = np.concatenate([-np.logspace(5, -5, 50), [0.0], np.logspace(-5, 5, 50)]).astype(np.float32)
    np.testing.assert_allclose(unsquash(squash(jnp.asarray(x))), x, rtol=2e-5, atol=1e-6)


def test_unsquash_is_the_papers_formula():
    y = np.linspace(-40, 40, 101)
    inner = (np.sqrt(1 + 4 * 0.001 * (np.abs(y) + 1 + 0.001)) - 1) / (2 * 0.001)
    np.testing.assert_allclose(unsquash(jnp.asarray(y)), np.sign(y) * (inner**2 - 1), rtol=1e-5, atol=1e-5)


def test_atoms_are_even_and_end_at_the_limit():
    found = np.asarray(atoms(8.0, 5))
    np.testing.assert_allclose(found, [-2.008, -1.004, 0, 1.004, 2.008], rtol=1e-6)
    np.testing.assert_allclose(unsquash(jnp.asarray(found[-1])), 8.0, rtol=1e-5)


def test_two_hot_by_hand():
    """h(3) = 1.003 lies 1.003/1.004 of the way from atom 0 to atom 1.004."""
    share = 1.003 / 1.004
    np.testing.assert_allclose(two_hot(jnp.float32(3.0), 8.0, 5), [0, 0, 1 - share, share, 0], atol=1e-6)
    np.testing.assert_allclose(two_hot(jnp.float32(-3.0), 8.0, 5), [0, share, 1 - share, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(two_hot(jnp.float32(0.0), 8.0, 5), [0, 0, 1, 0, 0])


@pytest.mark.parametrize("num_bins", [2, 3, 50, 601])
def test_two_hot_sums_to_one_on_neighbours_and_has_the_right_mean(num_bins):
    x = np.random.default_rng(0).uniform(-20, 20, (7, 40)).astype(np.float32)
    p = np.asarray(two_hot(jnp.asarray(x), 20.0, num_bins))
    assert p.shape == (7, 40, num_bins)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1, atol=1e-5)
    held = np.argwhere(p.reshape(-1, num_bins) > 0)
    for row in range(x.size):
        bins = held[held[:, 0] == row, 1]
        assert np.ptp(bins) == len(bins) - 1 <= 1
    np.testing.assert_allclose(p @ np.asarray(atoms(20.0, num_bins)), squash(jnp.asarray(x)), atol=1e-5)


def test_numbers_beyond_the_limit_count_as_the_limit():
    p = two_hot(jnp.array([1e6, -1e6]), 20.0, 7)
    np.testing.assert_allclose(p, np.eye(7)[[6, 0]], atol=1e-6)


def test_the_expected_value_of_a_two_hot_is_the_number():
    x = jnp.linspace(-0.99, 0.99, 23)
    p = two_hot(x, 1.0, 21)
    np.testing.assert_allclose(expected_value(jnp.log(p), 1.0), x, atol=1e-5)  # log 0 = −∞ is a category never taken
