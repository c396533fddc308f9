"""Networks of action values: dueling, distributions and noise by their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from puzzlebox.nets.q_networks import QNetwork

SPACE = spaces.Box(-1, 1, (3,), np.float32)
X = jnp.array([[0.1, -0.4, 0.7], [0.3, 0.2, -0.5]])
KEY = jax.random.key(0)


def test_dueling_advantages_are_centred():
    q = QNetwork(SPACE, (8,), 4, key=KEY, dueling=True)
    out = q.net(X)
    np.testing.assert_allclose(q(X), out[:, :1] + out[:, 1:] - out[:, 1:].mean(axis=1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(q(X).mean(axis=1), out[:, 0], atol=1e-6)


def test_values_are_means_of_the_distributions():
    q = QNetwork(SPACE, (8,), 2, key=KEY, dueling=True, num_atoms=5, limit=4)
    probs = np.exp(q.log_probs(X))
    assert probs.shape == (2, 2, 5)
    np.testing.assert_allclose(probs.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(q(X), probs @ np.array([-4, -2, 0, 2, 4.0]), atol=1e-5)


def test_noise_has_the_papers_size_and_rank():
    q = QNetwork(SPACE, (64,), 2, key=KEY, noise=0.5)
    np.testing.assert_allclose(q.deviation.weights[0], 0.5 / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(q.deviation.biases[1], 0.5 / np.sqrt(64), rtol=1e-6)
    drawn = q.with_noise(jax.random.key(1))
    change = np.asarray(drawn.net.weights[1] - q.net.weights[1])
    assert np.linalg.matrix_rank(change, tol=1e-5) == 1
    bias = np.asarray(drawn.net.biases[1] - q.net.biases[1])
    np.testing.assert_allclose(change[5] / change[5][0], bias / bias[0], rtol=1e-3)  # the same f(ε_out)
    many = jax.jit(jax.vmap(lambda key: q.with_noise(key).net.weights[1]))(jax.random.split(KEY, 300))
    size = np.square(many - q.net.weights[1]).mean()
    # E f(ε)² = E|ε| = √(2/π), so a weight's change has variance σ² 2/π
    np.testing.assert_allclose(size, 0.25 / 64 * 2 / np.pi, rtol=0.15)


def test_as_it_stands_a_noisy_network_computes_with_the_means():
    noisy, plain = (QNetwork(SPACE, (8,), 2, key=KEY, noise=noise) for noise in (0.5, 0.0))
    np.testing.assert_array_equal(noisy(X), plain(X))
    assert plain.with_noise(KEY) is plain
    assert not np.allclose(noisy.with_noise(KEY)(X), plain(X))


def test_pictures_go_through_convolutions():
    space = spaces.Box(0, 255, (10, 10, 2), np.uint8)
    q = QNetwork(space, (16,), 3, key=KEY)
    assert q.torso is not None and q.net.weights[0].shape == (8 * 8 * 16, 16)
    assert q(jnp.zeros((4, 10, 10, 2), jnp.uint8)).shape == (4, 3)
    assert QNetwork(SPACE, (16,), 3, key=KEY).torso is None
