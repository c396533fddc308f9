import statistics

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.errors import UsageError
from puzzlebox.ops.groups import (
    fixed_length_mean,
    group_advantages,
    leave_one_out_advantages,
    sequence_log_ratio,
    sequence_mean,
    token_mean,
    zero_std,
)
from puzzlebox.ops.policy_losses import clipped_policy_loss

REWARD = jnp.array([1.0, 0.0, 0.0, 3.0, 0.1, 0.1, 0.1, 0.1])  # two groups of 4, the second without variance


def test_group_advantages_by_hand():
    std = statistics.stdev([1, 0, 0, 3])  # √2, with 1/(n − 1)
    assert std == pytest.approx(np.sqrt(2))
    centred = [0, -1, -1, 2, 0, 0, 0, 0]
    np.testing.assert_allclose(group_advantages(REWARD, 4), np.array(centred) / (std + 1e-4), rtol=1e-6)
    np.testing.assert_allclose(group_advantages(REWARD, 4, epsilon=1.0), np.array(centred) / (std + 1.0), rtol=1e-6)
    np.testing.assert_allclose(group_advantages(REWARD, 4, scale=False), centred, rtol=1e-6)


@pytest.mark.parametrize("value", [0.1, -1 / 3, 1e6 + 0.3])
def test_equal_rewards_give_exactly_nothing(value):
    reward = jnp.full(7, value)
    assert (group_advantages(reward, 7) == 0).all()
    assert (leave_one_out_advantages(reward, 7) == 0).all()
    assert zero_std(reward, 7).all()


def test_leave_one_out_is_the_reward_minus_the_mean_of_the_others():
    reward = np.array([0.3, -1.2, 2.0, 0.7, 1.1, 0.0])
    expected = [r - np.delete(g, i).mean() for g in reward.reshape(2, 3) for i, r in enumerate(g)]
    np.testing.assert_allclose(leave_one_out_advantages(jnp.array(reward), 3), expected, rtol=1e-5)
    np.testing.assert_allclose(
        leave_one_out_advantages(jnp.array(reward), 3),
        group_advantages(jnp.array(reward), 3, scale=False) * 1.5,
        rtol=1e-5,
    )


def test_leave_one_out_is_an_unbiased_policy_gradient_where_the_group_mean_shrinks_it():
    # Two actions, groups of 2, all four groups enumerated: E[Σ A ∇ log π] / 2 is the gradient of the expected reward.
    logits, reward = jnp.array([0.3, -0.4]), jnp.array([1.0, -2.0])
    exact = jax.grad(lambda x: jax.nn.softmax(x) @ reward)(logits)
    probs, scores = jax.nn.softmax(logits), jax.jacobian(jax.nn.log_softmax)(logits)

    def mean_gradient(advantages):
        pairs = [(a, b) for a in range(2) for b in range(2)]
        return sum(
            probs[a] * probs[b] * advantages(reward[jnp.array([a, b])]) @ scores[jnp.array([a, b])] / 2
            for a, b in pairs
        )

    np.testing.assert_allclose(mean_gradient(lambda r: leave_one_out_advantages(r, 2)), exact, rtol=1e-5)
    np.testing.assert_allclose(mean_gradient(lambda r: group_advantages(r, 2, scale=False)), exact / 2, rtol=1e-5)


def test_groups_without_variance_are_named():
    np.testing.assert_array_equal(zero_std(REWARD, 4), [False] * 4 + [True] * 4)
    np.testing.assert_array_equal(zero_std(REWARD, 2), [False] * 4 + [True] * 4)
    assert float(zero_std(REWARD, 4).mean()) == 0.5


@pytest.mark.parametrize("function", [group_advantages, leave_one_out_advantages, zero_std])
def test_wrong_sizes(function):
    with pytest.raises(UsageError, match="group_size is 1"):
        function(REWARD, 1)
    with pytest.raises(UsageError, match="8 rewards do not divide into groups of 3"):
        function(REWARD, 3)


LOG_PROB = jnp.array([[-0.5, -1.0, -2.0], [-0.1, -3.0, jnp.nan]])
OLD = jnp.array([[-0.6, -1.3, -1.8], [-0.4, -2.5, jnp.nan]])
MASK = jnp.array([[True, True, True], [True, True, False]])


def test_the_ratio_of_a_sequence_by_hand():
    # mean log-ratios: (0.1 + 0.3 − 0.2) / 3, (0.3 − 0.5) / 2
    ratio = sequence_log_ratio(LOG_PROB, OLD, MASK)
    np.testing.assert_allclose(ratio[0], [0.2 / 3] * 3, rtol=1e-5)
    np.testing.assert_allclose(ratio[1, :2], [-0.1] * 2, rtol=1e-5)


def test_per_token_gspo_has_value_and_gradient_of_the_loss_on_the_sequence_ratio():
    advantage = jnp.array([1.0, -2.0])

    def per_token(log_prob):
        log_ratio = sequence_log_ratio(log_prob, OLD, MASK)
        loss = clipped_policy_loss(log_ratio, jnp.zeros_like(log_ratio), advantage[:, None], 0.3)
        return sequence_mean(loss, MASK)

    def per_sequence(log_prob):
        drift = jnp.where(MASK, log_prob - OLD, 0.0).sum(-1) / jnp.array([3.0, 2.0])
        return -(jnp.exp(drift) * advantage).mean()  # nothing is clipped here

    for log_prob in (LOG_PROB, jnp.nan_to_num(LOG_PROB)):
        value, gradient = jax.value_and_grad(per_token)(log_prob)
        np.testing.assert_allclose(value, per_sequence(log_prob), rtol=1e-5)
        np.testing.assert_allclose(gradient[MASK], jax.grad(per_sequence)(log_prob)[MASK], rtol=1e-5)


def test_a_clipped_sequence_has_no_gradient():
    def loss(log_prob):
        log_ratio = sequence_log_ratio(log_prob, OLD, MASK)
        return sequence_mean(clipped_policy_loss(log_ratio, jnp.zeros_like(log_ratio), jnp.float32(1.0), 0.05), MASK)

    gradient = jax.grad(loss)(LOG_PROB)
    assert (gradient[0] == 0).all()  # s = e^0.067 > 1.05
    assert (gradient[1, :2] < 0).all()  # s = e^−0.1 and A > 0: the minimum is not the clipped term


LOSS = jnp.array([[1.0, 2.0, 6.0, jnp.inf], [4.0, jnp.nan, jnp.nan, jnp.nan], [jnp.nan] * 4])
LENGTHS = jnp.array([3, 1, 0])


def test_three_means_by_hand():
    mask = jnp.arange(4) < LENGTHS[:, None]  # the last row is padding alone
    np.testing.assert_allclose(token_mean(LOSS, mask), 13 / 4)
    np.testing.assert_allclose(sequence_mean(LOSS, mask), (9 / 3 + 4) / 2)
    np.testing.assert_allclose(fixed_length_mean(LOSS, mask, 10), (9 + 4) / 10 / 2, rtol=1e-6)


def test_the_means_agree_where_all_rows_are_full_and_are_0_where_nothing_counts():
    loss, full = jnp.arange(6.0).reshape(2, 3), jnp.ones((2, 3), bool)
    assert token_mean(loss, full) == sequence_mean(loss, full) == fixed_length_mean(loss, full, 3) == 2.5
    assert token_mean(loss, ~full) == sequence_mean(loss, ~full) == fixed_length_mean(loss, ~full, 3) == 0.0


def test_a_tokens_weight_depends_on_its_row_the_batch_or_nothing():
    mask = jnp.arange(4) < LENGTHS[:, None]
    weight = [
        jax.grad(f)(jnp.ones((3, 4)))
        for f in (
            lambda x: token_mean(x, mask),
            lambda x: sequence_mean(x, mask),
            lambda x: fixed_length_mean(x, mask, 4),
        )
    ]
    np.testing.assert_allclose([w[0, 0] for w in weight], [1 / 4, 1 / 6, 1 / 8])
    np.testing.assert_allclose([w[1, 0] for w in weight], [1 / 4, 1 / 2, 1 / 8])
    assert all((w[~mask] == 0).all() for w in weight)
