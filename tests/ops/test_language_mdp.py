import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from puzzlebox.algorithms.tabular.value_iteration import value_iteration
from puzzlebox.errors import UsageError
from puzzlebox.ops.kl import k1, k2, k3, measure_estimator
from puzzlebox.ops.language_mdp import (
    best_completion,
    expected,
    next_token_log_probs,
    prefix_tree,
    regularised_optimum,
    sequence_kl,
    sequence_tree,
    soft_values,
    token_log_probs,
)
from puzzlebox.ops.policy_losses import policy_gradient_loss

SIZES = [(3, 3, None), (3, 3, 0), (4, 2, 2), (2, 4, 1), (2, 1, 0)]


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def completions(vocab_size, length, stop):
    """All of them, from every array of tokens cut behind its first stop."""
    found = set()
    for tokens in itertools.product(range(vocab_size), repeat=length):
        found.add(tokens[: tokens.index(stop) + 1] if stop in tokens else tokens)
    return sorted(found, key=lambda tokens: (len(tokens), tokens))


def random_task(vocab_size, length, stop, seed=0):
    """A tree, a reward per completion, and a reference's log-probs of the next token."""
    tree, generator = sequence_tree(vocab_size, length, stop), np.random.default_rng(seed)
    reward = generator.normal(size=len(tree.tokens))
    return tree, jnp.array(reward), jax.nn.log_softmax(jnp.array(generator.normal(size=tree.child.shape)))


@pytest.mark.parametrize(("vocab_size", "length", "stop"), SIZES)
def test_the_tree_holds_every_completion_and_every_prefix(vocab_size, length, stop):
    tree, brute = sequence_tree(vocab_size, length, stop), completions(vocab_size, length, stop)
    assert [tuple(tokens[mask].tolist()) for tokens, mask in zip(tree.tokens, tree.mask, strict=True)] == brute
    prefixes = {completion[:t] for completion in brute for t in range(len(completion))}
    assert len(tree.child) == len(tree.leaf) == len(prefixes)
    for n, completion in enumerate(brute):
        at = 0
        for t, token in enumerate(completion):
            assert tree.prefix[n, t] == at
            last = t == len(completion) - 1
            assert (tree.leaf[at, token] == n and tree.child[at, token] == -1) if last else tree.leaf[at, token] == -1
            at = tree.child[at, token]


def test_without_a_stop_the_order_is_that_of_an_array():
    assert (sequence_tree(3, 4).tokens == list(np.ndindex(3, 3, 3, 3))).all()


@pytest.mark.parametrize(("vocab_size", "length", "stop"), SIZES)
def test_value_iteration_finds_the_best_completion(vocab_size, length, stop):
    tree, reward, _ = random_task(vocab_size, length, stop)
    solution = value_iteration(prefix_tree(vocab_size, length, np.asarray(reward), stop), discount=1.0)
    for state in range(len(tree.child)):  # the best of the completions that pass through this prefix
        through = ((tree.prefix == state) & tree.mask).any(-1)
        assert solution.values[state] == pytest.approx(float(reward[through].max()), abs=1e-9)
    played, at = [], 0
    while at >= 0:
        played.append(int(solution.policy[at]))
        at = int(tree.child[at, played[-1]])
    assert (
        played
        == best_completion(tree, reward).tolist()
        == list(completions(vocab_size, length, stop)[int(jnp.argmax(reward))])
    )


def test_an_array_over_the_tree_is_a_reward():
    reward = np.zeros((3, 3))
    reward[2, 1] = 5.0
    assert value_iteration(prefix_tree(3, 2, reward), discount=1.0).policy.tolist()[0] == 2
    assert best_completion(sequence_tree(3, 2), reward).tolist() == [2, 1]


@pytest.mark.parametrize(("vocab_size", "length", "stop"), SIZES)
def test_sequences_and_next_tokens_are_two_views_of_one_policy(vocab_size, length, stop):
    tree, _, next_log_prob = random_task(vocab_size, length, stop)
    log_prob = token_log_probs(tree, next_log_prob).sum(-1)
    np.testing.assert_allclose(jnp.exp(log_prob).sum(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(next_token_log_probs(tree, log_prob), next_log_prob, atol=1e-12)


def test_token_log_probs_by_hand():
    # Tokens 0 (stop) and 1, length 2: completions [0], [1 0], [1 1]; prefixes [], [1].
    tree = sequence_tree(2, 2, stop=0)
    got = token_log_probs(tree, jnp.log(jnp.array([[0.25, 0.75], [0.4, 0.6]])))
    np.testing.assert_allclose(jnp.exp(got), [[0.25, 1.0], [0.75, 0.4], [0.75, 0.6]])
    assert (got[0, 1] == 0) and (tree.mask == [[True, False], [True, True], [True, True]]).all()


def test_expectations_by_hand():
    log_prob, reference = jnp.log(jnp.array([0.5, 0.5, 0.0])), jnp.log(jnp.array([0.25, 0.5, 0.25]))
    assert expected(log_prob, jnp.array([1.0, 3.0, jnp.inf])) == 2.0
    np.testing.assert_allclose(sequence_kl(log_prob, reference), 0.5 * np.log(2))
    assert sequence_kl(reference, log_prob) == jnp.inf
    gradient = jax.grad(lambda x: sequence_kl(jax.nn.log_softmax(x), reference))(jnp.array([0.0, 0.0, -jnp.inf]))
    np.testing.assert_allclose(gradient, [0.25 * np.log(2), -0.25 * np.log(2), 0.0], atol=1e-12)


def test_the_regularised_optimum_by_hand_and_better_than_any_other():
    reference, reward, beta = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, -1.0]), 0.5
    best = regularised_optimum(jnp.array(reward), jnp.log(reference), beta)
    weight = reference * np.exp(reward / beta)
    np.testing.assert_allclose(jnp.exp(best.log_prob), weight / weight.sum())
    np.testing.assert_allclose(best.value, beta * np.log(weight.sum()))

    def objective(log_prob):
        return expected(log_prob, jnp.array(reward)) - beta * sequence_kl(log_prob, jnp.log(reference))

    np.testing.assert_allclose(objective(best.log_prob), best.value)
    others = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    assert (jax.vmap(objective)(jnp.log(others)) < best.value).all()


def test_what_the_reference_never_says_stays_unsaid():
    best = regularised_optimum(jnp.array([0.0, 9.0]), jnp.log(jnp.array([1.0, 0.0])), 0.1)
    np.testing.assert_array_equal(jnp.exp(best.log_prob), [1.0, 0.0])
    assert best.value == 0.0


@pytest.mark.parametrize(("vocab_size", "length", "stop"), SIZES)
def test_soft_bellman_values_are_the_regularised_optimum(vocab_size, length, stop):
    tree, reward, reference = random_task(vocab_size, length, stop)
    reference_log_prob = token_log_probs(tree, reference).sum(-1)
    best = regularised_optimum(reward, reference_log_prob, 0.3)
    soft = soft_values(tree, reward, reference, 0.3)
    np.testing.assert_allclose(soft.value[0], best.value, rtol=1e-10)
    np.testing.assert_allclose(token_log_probs(tree, soft.log_prob).sum(-1), best.log_prob, atol=1e-10)
    np.testing.assert_allclose(soft.log_prob, next_token_log_probs(tree, best.log_prob), atol=1e-10)


def test_without_a_penalty_it_is_the_best_reward_and_with_an_infinite_one_the_reference():
    tree, reward, reference = random_task(3, 3, 0)
    assert soft_values(tree, reward, reference, 1e-3).value[0] == pytest.approx(float(reward.max()), abs=0.02)
    average = expected(token_log_probs(tree, reference).sum(-1), reward)
    assert soft_values(tree, reward, reference, 1e4).value[0] == pytest.approx(float(average), abs=1e-3)


def descend(loss, parameters, rate, steps):
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, steps))

    def update(carry, _):
        parameters, state = carry
        updates, state = optimiser.update(jax.grad(loss)(parameters), state)
        return (optax.apply_updates(parameters, updates), state), None

    return jax.lax.scan(update, (parameters, optimiser.init(parameters)), None, steps)[0][0]


def test_the_policy_gradient_with_a_penalised_reward_reaches_the_optimum():
    tree, reward, reference = random_task(3, 3, 0)
    reference_log_prob = token_log_probs(tree, reference).sum(-1)

    def mean_loss(logits):  # the mean over all completions of REINFORCE on r − β k1, the reward of RLHF's PPO
        log_prob = token_log_probs(tree, jax.nn.log_softmax(logits)).sum(-1)
        penalised = reward - 0.5 * k1(log_prob, reference_log_prob)
        return expected(jax.lax.stop_gradient(log_prob), policy_gradient_loss(log_prob, penalised))

    found = jax.nn.log_softmax(descend(mean_loss, reference, 0.05, 2000))
    best = regularised_optimum(reward, reference_log_prob, 0.5)
    np.testing.assert_allclose(jnp.exp(token_log_probs(tree, found).sum(-1)), jnp.exp(best.log_prob), atol=1e-5)


TREE, _, REFERENCE = random_task(3, 3, 0)
LOGITS = np.random.default_rng(5).normal(size=TREE.child.shape)


def by_token(logits):
    return token_log_probs(TREE, jax.nn.log_softmax(logits))


def by_sequence(logits):
    return by_token(logits).sum(-1)


def reference_tokens():
    return token_log_probs(TREE, jnp.asarray(REFERENCE))


def forward_kl(logits):
    """KL(π_ref ‖ π) over completions."""
    return sequence_kl(reference_tokens().sum(-1), by_sequence(logits))


def test_the_measured_truth_agrees_with_numpy_and_finite_differences():
    got = measure_estimator(k3, by_sequence, jnp.array(LOGITS), reference_tokens().sum(-1))
    p, q = np.exp(by_sequence(LOGITS)), np.exp(reference_tokens().sum(-1))
    terms = q / p - 1 + np.log(p / q)
    np.testing.assert_allclose(got.kl, (p * np.log(p / q)).sum(), rtol=1e-6)
    np.testing.assert_allclose(got.mean, (p * terms).sum(), rtol=1e-6)
    np.testing.assert_allclose(got.variance, (p * terms**2).sum() - (p * terms).sum() ** 2, rtol=1e-5)
    step = np.zeros_like(LOGITS)
    step[1, 2] = 1e-5
    high, low = (
        measure_estimator(k3, by_sequence, jnp.array(LOGITS + sign * step), reference_tokens().sum(-1))
        for sign in (1, -1)
    )
    np.testing.assert_allclose(got.kl_gradient[1, 2], (high.kl - low.kl) / 2e-5, rtol=1e-5)
    np.testing.assert_allclose(got.mean_gradient[1, 2], (high.mean - low.mean) / 2e-5, rtol=1e-5)


def test_whole_completions_k1_and_k3_have_the_right_mean_and_k2_alone_the_right_gradient():
    measured = [measure_estimator(k, by_sequence, jnp.array(LOGITS), reference_tokens().sum(-1)) for k in (k1, k2, k3)]
    kl, gradient = measured[0].kl, measured[0].kl_gradient
    np.testing.assert_allclose([measured[0].mean, measured[2].mean], kl, rtol=1e-6)
    assert abs(measured[1].mean / kl - 1) > 0.05
    assert measured[2].variance < measured[0].variance
    for right in (measured[0].mean_gradient, measured[2].mean_gradient, measured[1].loss_gradient):
        np.testing.assert_allclose(right, gradient, atol=1e-7)
    assert jnp.abs(measured[1].mean_gradient - gradient).max() > 0.01
    np.testing.assert_allclose(measured[0].loss_gradient, 0.0, atol=1e-7)
    np.testing.assert_allclose(measured[2].loss_gradient, jax.grad(forward_kl)(jnp.array(LOGITS)), atol=1e-7)
    assert jnp.abs(measured[2].loss_gradient - gradient).max() > 0.01


def test_token_by_token_the_means_stay_and_no_loss_has_the_gradient_of_the_kl():
    measured = [measure_estimator(k, by_token, jnp.array(LOGITS), reference_tokens()) for k in (k1, k2, k3)]
    np.testing.assert_allclose([measured[0].mean, measured[2].mean], measured[0].kl, rtol=1e-6)
    np.testing.assert_allclose(measured[0].loss_gradient, 0.0, atol=1e-7)
    for estimate in measured:
        assert jnp.abs(estimate.loss_gradient - estimate.kl_gradient).max() > 0.01
    # What k2 then misses is the later KL an early token leads to: at the last token there is none, and it is right.
    deepest = TREE.prefix[TREE.mask.all(-1), -1]
    np.testing.assert_allclose(measured[1].loss_gradient[deepest], measured[1].kl_gradient[deepest], atol=1e-7)


def test_mistakes():
    with pytest.raises(UsageError, match="reward has 5 numbers for 9 completions"):
        prefix_tree(3, 2, np.zeros(5))
    with pytest.raises(UsageError, match="the reward of completion 1 is nan"):
        prefix_tree(2, 1, [0.0, np.nan])
    with pytest.raises(UsageError, match="stop is 3; with vocab_size 3 it must lie between 0 and 2"):
        sequence_tree(3, 2, stop=3)
    with pytest.raises(UsageError, match=r"49152\^2 completions are too many"):
        sequence_tree(49152, 2)
    with pytest.raises(UsageError, match="vocab_size is 1 and length 2"):
        sequence_tree(1, 2)
