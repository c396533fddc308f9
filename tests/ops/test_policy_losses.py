import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.ops.distributions import Categorical
from puzzlebox.ops.policy_losses import approximate_kl, clipped_policy_loss, is_clipped, policy_gradient_loss


def test_policy_gradient_of_two_actions_by_hand():
    # p = (¼, ¾), action 0, advantage 2: loss = −2 log ¼; d/d logits = −2 (1[0] − p) = (−1.5, 1.5)
    logits = jnp.log(jnp.array([1.0, 3.0]))

    def loss(logits):
        return policy_gradient_loss(Categorical(logits).log_prob(0), jnp.float32(2.0))

    np.testing.assert_allclose(loss(logits), 2 * np.log(4), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(loss)(logits), [-1.5, 1.5], rtol=1e-5)


def test_policy_gradient_averages_to_the_gradient_of_the_expected_reward():
    reward = jnp.array([1.0, -2.0, 0.5])
    logits = jnp.array([0.2, -0.1, 0.4])
    exact = jax.grad(lambda logits: (jax.nn.softmax(logits) * reward).sum())(logits)
    probs = jax.nn.softmax(logits)
    actions = jnp.arange(3)

    def expected_loss(logits):
        return (probs * policy_gradient_loss(jax.vmap(Categorical(logits).log_prob)(actions), reward)).sum()

    np.testing.assert_allclose(jax.grad(expected_loss)(logits), -exact, rtol=1e-5, atol=1e-6)


def test_clipped_policy_loss_by_hand():
    # ε = 0.2. ratio, advantage -> min(ρA, clip(ρ)A):
    #   1.5, +1 -> 1.2;   1.5, −1 -> −1.5;   0.5, +1 -> 0.5;   0.5, −1 -> −0.8;   1.1, +2 -> 2.2
    ratio = jnp.array([1.5, 1.5, 0.5, 0.5, 1.1])
    advantage = jnp.array([1.0, -1.0, 1.0, -1.0, 2.0])
    old = jnp.full(5, -1.3)
    loss = clipped_policy_loss(old + jnp.log(ratio), old, advantage, 0.2)
    np.testing.assert_allclose(loss, [-1.2, 1.5, -0.5, 0.8, -2.2], rtol=1e-5)
    # The gradient with respect to log π is −ρA where the minimum is the unclipped term, and 0 where it is clipped.
    gradient = jax.grad(lambda x: clipped_policy_loss(x, old, advantage, 0.2).sum())(old + jnp.log(ratio))
    np.testing.assert_allclose(gradient, [0.0, 1.5, -0.5, 0.0, -2.2], rtol=1e-5)
    np.testing.assert_array_equal(is_clipped(old + jnp.log(ratio), old, 0.2), [1, 1, 1, 1, 0])


def test_a_higher_upper_bound_by_hand():
    # ε = 0.2, ε_high = 0.28: 1.5, +1 -> 1.28;   1.25, +1 -> 1.25;   1.5, −1 -> −1.5;   0.5, −1 -> −0.8
    ratio, advantage = jnp.array([1.5, 1.25, 1.5, 0.5]), jnp.array([1.0, 1.0, -1.0, -1.0])
    old = jnp.full(4, -1.3)
    loss = clipped_policy_loss(old + jnp.log(ratio), old, advantage, 0.2, clip_high=0.28)
    np.testing.assert_allclose(loss, [-1.28, -1.25, 1.5, 0.8], rtol=1e-5)
    np.testing.assert_array_equal(is_clipped(old + jnp.log(ratio), old, 0.2, clip_high=0.28), [1, 0, 1, 1])


def test_at_the_old_policy_ppo_is_the_policy_gradient():
    log_prob, advantage = jnp.array([-0.3, -1.2]), jnp.array([0.7, -2.0])
    ppo = jax.grad(lambda x: clipped_policy_loss(x, log_prob, advantage, 0.2).sum())(log_prob)
    plain = jax.grad(lambda x: policy_gradient_loss(x, advantage).sum())(log_prob)
    np.testing.assert_allclose(ppo, plain, rtol=1e-6)


def test_no_gradient_reaches_advantages_and_old_log_probs():
    x = jnp.array([0.1, 0.2])
    gradients = jax.grad(lambda old, a: clipped_policy_loss(x, old, a, 0.2).sum(), argnums=(0, 1))(x, x)
    np.testing.assert_array_equal(np.stack(gradients), 0.0)
    np.testing.assert_array_equal(jax.grad(lambda a: policy_gradient_loss(x, a).sum())(x), 0.0)


def test_approximate_kl_averages_to_the_kl_and_is_never_negative():
    old, new = Categorical(jnp.array([0.1, 1.0, -0.5])), Categorical(jnp.array([0.6, 0.2, 0.1]))
    terms = approximate_kl(new.log_probs, old.log_probs)
    np.testing.assert_allclose((old.probs * terms).sum(), old.kl(new), rtol=1e-5)
    assert (terms >= 0).all()
    # Near equality it is (log ρ)² / 2, which a plain exp(x) − 1 − x in float32 would lose.
    np.testing.assert_allclose(approximate_kl(jnp.float32(1e-3), jnp.float32(0.0)), 5e-7, rtol=1e-2)
