"""PPO for language models: its advantages and rewards by hand, and what must hold before and after an iteration."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting.completions import complete
from puzzlebox.acting.generate import Sampling
from puzzlebox.algorithms.language.ppo import PPO, shaped_reward
from puzzlebox.envs.text import make_task
from puzzlebox.errors import UsageError
from puzzlebox.ops.token_returns import token_gae
from puzzlebox.runs import checkpoint
from puzzlebox.runs.build import load_model
from puzzlebox.types import Trajectory

START = load_model("new,layers=1,width=32,heads=2,kv_heads=2,hidden=64,context=32")
ALGORITHM = PPO(
    make_task("tiny"), START, num_prompts=8, num_epochs=2, num_minibatches=2, learning_rate=1e-2, temperature=0.7,
    kl_target=0.5, kl_horizon=80,
)  # fmt: skip


@pytest.fixture(scope="module")
def first():
    """The state before the first iteration, the one after it, and its metrics."""
    state = ALGORITHM.init(jax.random.key(3))
    return state, *ALGORITHM.step(state)


def rows(mask, reward, log_prob, truncated=False):
    """Completions by hand: everything but rewards, log-probs and mask is empty."""
    mask = jnp.array(mask, bool)
    last = mask & (jnp.cumsum(mask[:, ::-1], axis=1)[:, ::-1] == 1)
    zeros = jnp.zeros(mask.shape, jnp.int32)
    cut = last & truncated
    return Trajectory(zeros, zeros, jnp.array(log_prob), jnp.array(reward), last & ~cut, cut, zeros, mask)


def loop(reward, value, mask, discount, trace):
    """GAE of one row with a plain loop over the tokens that count, from the last one back."""
    steps = [t for t in range(len(mask)) if mask[t]]
    result, later, next_value = np.zeros(len(mask)), 0.0, 0.0
    for t in reversed(steps):
        later = reward[t] + discount * next_value - value[t] + discount * trace * later
        result[t], next_value = later, value[t]
    return result


def estimates(trajectory, value, discount, trace):
    ended = trajectory.terminated | trajectory.truncated
    return token_gae(trajectory.reward, value, ended, trajectory.mask, discount, trace)


def test_advantages_are_those_of_a_loop_over_the_chosen_tokens():
    rng = np.random.default_rng(0)
    mask = np.zeros((5, 9), bool)
    mask[0, 2:5] = True  # a prompt, a completion, padding
    mask[1, 1:9] = True
    mask[2, 4] = True  # one token
    mask[3, [1, 2, 6, 7]] = True  # a tool's output stands between
    mask[4, 0:9] = True
    reward, value = rng.normal(size=(2, 5, 9)).astype(np.float32)
    for discount, trace in ((1.0, 0.95), (0.9, 0.5), (1.0, 0.0), (1.0, 1.0)):
        ours = estimates(rows(mask, reward, reward), jnp.array(value), discount, trace)
        hand = [loop(*row, discount, trace) for row in zip(reward, value, mask, strict=True)]
        np.testing.assert_allclose(ours, hand, rtol=1e-4, atol=1e-5)


def test_nothing_beyond_the_mask_reaches_an_advantage_and_a_cut_off_end_is_an_end():
    mask = [[False, True, True, False, False]]
    reward, value = np.float32([[0, 1, 2, 0, 0]]), np.float32([[9, 3, 5, 7, 7]])
    plain = estimates(rows(mask, reward, reward), jnp.array(value), 1.0, 0.95)
    noise = jnp.array([[1e3, 3, 5, -1e3, 1e3]])
    np.testing.assert_array_equal(
        plain, estimates(rows(mask, reward + noise * ~np.array(mask), reward), noise, 1, 0.95)
    )
    np.testing.assert_array_equal(
        plain, estimates(rows(mask, reward, reward, truncated=True), jnp.array(value), 1, 0.95)
    )
    np.testing.assert_allclose(plain, [[0, 1 + 5 - 3 + 0.95 * (2 - 5), 2 - 5, 0, 0]], rtol=1e-6)


def test_every_token_pays_for_its_divergence_and_the_verdict_comes_with_the_last():
    mask = [[False, True, True, True], [False, True, False, False]]
    log_prob = np.float32([[0, -1.0, -2.0, -3.0], [0, -0.5, 0, 0]])
    reference = np.float32([[0, -1.5, -1.0, -3.0], [0, -0.5, -9, -9]])
    verdict = np.float32([[0, 0, 0, 1.0], [0, -2.0, 0, 0]])
    shaped = shaped_reward(rows(mask, verdict, log_prob), reference, 0.1)
    np.testing.assert_allclose(shaped, [[0, -0.05, 0.1, 1.0], [0, -2.0, 0, 0]], atol=1e-6)
    fined = shaped_reward(rows(mask, verdict, log_prob, truncated=True), reference, 0.1, 3.0)
    np.testing.assert_allclose(fined, [[0, -0.05, 0.1, -2.0], [0, -5.0, 0, 0]], atol=1e-6)


def test_a_new_value_function_says_zero(first):
    critic = eqx.combine(first[0].params.critic, ALGORITHM.frozen().critic)
    np.testing.assert_array_equal(critic(jnp.zeros((2, 3), int)), 0.0)


def test_the_divergence_begins_at_zero_and_its_price_is_steered_towards_the_target(first):
    _, state, metrics = first
    assert abs(metrics["kl"]) < 1e-5
    assert metrics["kl_coef"] == np.float32(0.05)
    # no divergence at all is 0.2 too little after clipping; 8 completions of a horizon of 80
    np.testing.assert_allclose(state.kl_coef, 0.05 * (1 - 0.2 * 8 / 80), rtol=1e-5)


def test_policy_and_value_function_have_moved_and_the_start_has_not(first):
    before, after, metrics = first
    for old, new in zip(before.params, after.params, strict=True):
        assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True))
    np.testing.assert_array_equal(START.decoder.embedding, before.params[0].embedding)
    assert metrics["value_loss"] > 0 and metrics["grad_norm"] > 0


def test_what_was_sampled_is_as_likely_to_the_trainer(first):
    model = ALGORITHM.policy(first[1])
    trajectory = complete(model, ["="] * 8, jax.random.key(1), max_tokens=4, sampling=Sampling(0.7)).trajectory
    log_prob, _ = eqx.filter_jit(ALGORITHM.score)(model.decoder, trajectory)
    np.testing.assert_allclose(log_prob, trajectory.log_prob, atol=1e-4)


def test_a_restored_state_goes_on_bit_for_bit(first, tmp_path):
    _, state, _ = first
    checkpoint.save(tmp_path, 1, state, {})
    shapes = eqx.filter_eval_shape(ALGORITHM.init, jax.random.key(0))
    restored, _, _ = checkpoint.load_newest(tmp_path, shapes)
    ahead, again = ALGORITHM.step(state), ALGORITHM.step(restored)
    same = jax.tree.map(lambda a, b: bool(jnp.all(a == b)), ahead, again)
    assert all(jax.tree.leaves(same))


def test_minibatches_must_divide_the_completions():
    with pytest.raises(UsageError, match="num_minibatches is 3, which does not divide num_prompts, 8"):
        PPO(make_task("tiny"), START, num_prompts=8, num_minibatches=3)
