import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.ops.distributions import Categorical
from puzzlebox.ops.kl import adaptive_kl_coef, k1, k2, k3
from puzzlebox.ops.policy_losses import approximate_kl

LOGITS = jnp.array([0.1, 1.0, -0.5])
REFERENCE = Categorical(jnp.array([0.6, 0.2, 0.1]))


def test_by_hand():
    # d = log 2, −log 2: k3 = ½ − 1 + log 2, 2 − 1 − log 2
    d = jnp.log(jnp.array([2.0, 0.5]))
    np.testing.assert_allclose(k1(d - 1.0, jnp.float32(-1.0)), [np.log(2), -np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(k2(d - 1.0, jnp.float32(-1.0)), [np.log(2) ** 2 / 2] * 2, rtol=1e-6)
    np.testing.assert_allclose(k3(d - 1.0, jnp.float32(-1.0)), [np.log(2) - 0.5, 1 - np.log(2)], rtol=1e-5)


def test_near_equality_k3_is_k2():
    d = jnp.array([1e-3, -1e-3])  # e^−d − 1 + d in float32 would lose it
    np.testing.assert_allclose(k3(d, 0.0), k2(d, 0.0), rtol=1e-2)


def test_the_means():
    policy = Categorical(LOGITS)
    means = [(policy.probs * k(policy.log_probs, REFERENCE.log_probs)).sum() for k in (k1, k2, k3)]
    kl = policy.kl(REFERENCE)
    np.testing.assert_allclose([means[0], means[2]], kl, rtol=1e-5)
    assert abs(means[1] - kl) > 0.01


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (k1, lambda logits: jnp.float32(0.0)),
        (k2, lambda logits: Categorical(logits).kl(REFERENCE)),
        (k3, lambda logits: REFERENCE.kl(Categorical(logits))),
    ],
)
def test_the_mean_gradient_as_a_loss(estimator, expected):
    probs = Categorical(LOGITS).probs  # a constant: sampling is not differentiated

    def loss(logits):
        return (probs * estimator(Categorical(logits).log_probs, REFERENCE.log_probs)).sum()

    np.testing.assert_allclose(jax.grad(loss)(LOGITS), jax.grad(expected)(LOGITS), atol=1e-6)


def test_approximate_kl_is_k3_with_the_policies_exchanged():
    new, old = jnp.array([-0.3, -2.0]), jnp.array([-0.5, -1.0])
    np.testing.assert_allclose(approximate_kl(new, old), k3(old, new), rtol=1e-6)


def test_the_controller_by_hand():
    # twice the target: e cut to 0.2, n/h = 0.1 -> × 1.02;  5% below: e = −0.05 -> × 0.995;  0 -> × 0.98
    np.testing.assert_allclose(adaptive_kl_coef(0.2, 12.0, 6.0, 1000, 100), 0.2 * 1.02, rtol=1e-6)
    np.testing.assert_allclose(adaptive_kl_coef(0.2, 5.7, 6.0, 1000, 100), 0.2 * 0.995, rtol=1e-6)
    np.testing.assert_allclose(adaptive_kl_coef(0.2, 0.0, 6.0, 1000, 100), 0.2 * 0.98, rtol=1e-6)
    np.testing.assert_allclose(adaptive_kl_coef(0.2, 6.0, 6.0, 1000, 100), 0.2, rtol=1e-6)
