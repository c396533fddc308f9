"""C51's projection and target, against the paper's algorithm 1 as loops, and by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.ops.categorical_values import atoms, categorical_target, cross_entropy, project


def by_the_paper(probs, reward, discount, limit):
    """Algorithm 1, as it is printed."""
    n = len(probs)
    step = 2 * limit / (n - 1)
    m = np.zeros(n)
    for j in range(n):
        place = (np.clip(reward + discount * (-limit + j * step), -limit, limit) + limit) / step
        low, high = int(np.floor(place)), int(np.ceil(place))
        if low == high:
            m[low] += probs[j]
        else:
            m[low] += probs[j] * (high - place)
            m[high] += probs[j] * (place - low)
    return m


def test_the_target_is_the_papers():
    generator = np.random.default_rng(0)
    for _ in range(20):
        probs = generator.dirichlet(np.ones(11)).astype(np.float32)
        reward, discount = generator.normal() * 3, generator.random()
        ours = categorical_target(jnp.float32(reward), jnp.asarray(probs), jnp.bool_(False), jnp.float32(discount), 5)
        np.testing.assert_allclose(ours, by_the_paper(probs, reward, discount, 5), atol=1e-5)


def test_by_hand():
    probs = jnp.array([[0.0, 0.5, 0.5], [0.2, 0.3, 0.5]])  # at −2, 0, 2
    target = categorical_target(jnp.array([1.0, 1.5]), probs, jnp.array([False, True]), 0.5, 2)
    np.testing.assert_allclose(target, [[0, 0.25, 0.75], [0, 0.25, 0.75]], atol=1e-6)  # 1 and 2; 1.5 alone
    np.testing.assert_allclose(atoms(2, 3), [-2, 0, 2])
    beyond = project(jnp.array([1.0, 0, 0]), jnp.array([9.0, 0, 0]), 2)
    np.testing.assert_allclose(beyond, [0, 0, 1])


def test_the_mean_is_kept():
    probs = jax.nn.softmax(jax.random.normal(jax.random.key(0), (6, 21)))
    values = jax.random.uniform(jax.random.key(1), (6, 21), minval=-3, maxval=3)
    projected = project(probs, values, 3)
    np.testing.assert_allclose(projected @ atoms(3, 21), (probs * values).sum(axis=-1), atol=1e-5)
    np.testing.assert_allclose(projected.sum(axis=-1), 1, rtol=1e-5)


def test_cross_entropy_by_hand():
    loss = cross_entropy(jnp.log(jnp.array([0.5, 0.25, 0.25])), jnp.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(loss, np.log(4), rtol=1e-6)
