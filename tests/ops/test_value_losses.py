import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.ops import value_losses as vl

REWARD = jnp.array([1.0, 1.0])
TERMINATED = jnp.array([False, True])
NEXT_Q = jnp.array([[1.0, 4.0, 2.0], [7.0, 8.0, 9.0]])


def test_targets_by_hand():
    # γ = 0.5: 1 + ½ · 4 = 3; a termination leaves the reward
    np.testing.assert_allclose(vl.q_learning_target(REWARD, NEXT_Q, TERMINATED, 0.5), [3.0, 1.0])
    np.testing.assert_allclose(vl.td_target(REWARD, NEXT_Q[:, 2], TERMINATED, 0.5), [2.0, 1.0])
    # the online network prefers action 2, which the target network values at 2: 1 + ½ · 2 = 2
    online = jnp.array([[0.0, 1.0, 5.0], [3.0, 2.0, 1.0]])
    np.testing.assert_allclose(vl.double_q_learning_target(REWARD, NEXT_Q, online, TERMINATED, 0.5), [2.0, 1.0])


def test_double_q_learning_with_one_network_is_q_learning():
    q = jax.random.normal(jax.random.key(0), (20, 4))
    reward, terminated = q[:, 0], q[:, 1] > 0
    np.testing.assert_array_equal(
        vl.double_q_learning_target(reward, q, q, terminated, 0.9), vl.q_learning_target(reward, q, terminated, 0.9)
    )


def test_a_termination_keeps_even_an_infinite_next_value_out():
    target = vl.q_learning_target(REWARD, NEXT_Q.at[1].set(jnp.nan), TERMINATED, 0.5)
    np.testing.assert_allclose(target, [3.0, 1.0])


def test_td_error_sends_its_gradient_into_the_action_taken_alone():
    q, action, target = jnp.array([[1.0, 2.0, 3.0]]), jnp.array([1]), jnp.array([5.0])
    np.testing.assert_allclose(vl.td_error(q, action, target), [3.0])
    np.testing.assert_allclose(jax.grad(lambda q: vl.td_error(q, action, target).sum())(q), [[0.0, -1.0, 0.0]])
    blocked = jax.grad(lambda q: vl.td_error(NEXT_Q[:1], action, vl.td_target(1.0, q, False, 0.9)).sum())(jnp.ones(1))
    np.testing.assert_array_equal(blocked, 0.0)


def test_errors_by_hand():
    prediction, target = jnp.array([0.0, 0.0, 0.0, 0.0]), jnp.array([0.5, -1.0, 3.0, -3.0])
    np.testing.assert_allclose(vl.squared_error(prediction, target), [0.25, 1.0, 9.0, 9.0])
    # δ = 1: ½ 0.25, ½, 3 − ½, 3 − ½; δ = 2: …, 2 (3 − 1)
    np.testing.assert_allclose(vl.huber(prediction, target), [0.125, 0.5, 2.5, 2.5])
    np.testing.assert_allclose(vl.huber(prediction, target, 2.0), [0.125, 0.5, 4.0, 4.0])
    gradient = jax.grad(lambda p: vl.huber(p, target).sum())(prediction)
    np.testing.assert_allclose(gradient, [-0.5, 1.0, -1.0, 1.0])


def test_clipped_value_loss_by_hand():
    # ε = 1, V_old = 0, G = 3.   V = 2: max((2−3)², (1−3)²) = 4.   V = ½: both 6.25.   V = −2: max(25, 16) = 25
    value = jnp.array([2.0, 0.5, -2.0])
    loss = vl.clipped_value_loss(value, jnp.zeros(3), jnp.full(3, 3.0), 1.0)
    np.testing.assert_allclose(loss, [4.0, 6.25, 25.0])
    # beyond ε towards the target there is nothing to gain: gradient 0; back from the wrong side there is
    gradient = jax.grad(lambda v: vl.clipped_value_loss(v, jnp.zeros(3), jnp.full(3, 3.0), 1.0).sum())(value)
    np.testing.assert_allclose(gradient, [0.0, -5.0, -10.0])
