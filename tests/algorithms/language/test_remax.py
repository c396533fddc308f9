"""ReMax: REINFORCE with the greedy completion's reward as baseline, by hand and where everything can be enumerated."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from hand_gradients import MASK, PARAMS, REWARD, START, batch, check_gradient, log_probs
from puzzlebox.acting.completions import rewards_of
from puzzlebox.algorithms.language.fine_tuning import initial_state
from puzzlebox.algorithms.language.remax import ReMax
from puzzlebox.envs.text import make_task
from puzzlebox.types import Trajectory


def improve(trajectory, baseline, **options):
    algorithm = ReMax(make_task("tiny"), START, max_grad_norm=1e6, **options)
    state = initial_state(PARAMS, algorithm.transform(), jax.random.key(0))
    return algorithm._improve(state, trajectory, jnp.asarray(baseline, jnp.float32))


def test_it_is_reinforce_with_that_baseline_and_pays_for_the_divergence_to_come():
    new, reference = (
        np.asarray(log_probs(PARAMS)),
        np.asarray(log_probs(eqx.filter(START.decoder, eqx.is_inexact_array))),
    )
    drift = (new - reference) * MASK
    to_go = np.array([[row[t:].sum() for t in range(4)] for row in drift])
    baseline = np.float32([0.5, 0.5, 1.0, 0.0])
    state, metrics = improve(batch(log_probs(PARAMS)), baseline, kl_coef=0.3)
    check_gradient(state, -((REWARD - baseline)[:, None] - 0.3 * to_go) / 4)
    np.testing.assert_allclose(metrics["kl"], drift.sum(axis=1).mean(), rtol=1e-3)


def test_over_all_tokens_it_is_the_exact_policy_gradient_whatever_the_baseline():
    """One token from each of the V; a row that weighs V π(a) in a mean of V rows weighs π(a)."""
    size = START.decoder.config.vocab_size
    earned = jnp.sin(jnp.arange(size))

    def value(params):
        return jax.nn.softmax(eqx.combine(params, START.decoder)(jnp.array([[7]])))[0, 0] @ earned

    exact = jax.jit(jax.grad(value))(PARAMS)
    read = jax.jit(lambda params: eqx.combine(params, START.decoder)(jnp.array([[7]]))[0, 0])
    log_prob = jax.nn.log_softmax(read(PARAMS))
    weight = size * jnp.exp(log_prob)
    column = lambda x: jnp.broadcast_to(jnp.asarray(x), size)[:, None]  # noqa: E731
    yes, no, tokens = column(True), column(False), column(jnp.arange(size))
    trajectory = Trajectory(column(7), tokens, column(log_prob), column(weight * earned), yes, no, tokens, yes)
    for baseline in (0.0, 0.9):
        state, _ = improve(trajectory, weight * baseline, kl_coef=0.0)
        ours = optax.tree.get(state.optimiser, "mu")
        for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(exact), strict=True):
            np.testing.assert_allclose(-10 * one, other, rtol=1e-3, atol=1e-5)


def test_the_baseline_is_what_the_greedy_completion_earns(monkeypatch):
    algorithm = ReMax(make_task("tiny"), START, num_prompts=4)
    seen = {}

    def improve(self, state, trajectory, baseline):
        seen["baseline"] = baseline
        return state, {}

    monkeypatch.setattr(ReMax, "_improve", improve)
    state = algorithm.init(jax.random.key(0))
    _, metrics = algorithm.step(state)
    model = algorithm.policy(state)
    likeliest = jax.jit(lambda tokens: jnp.argmax(model.decoder(tokens), axis=-1)[0])
    prompt = START.encode("=")
    tokens = list(prompt)
    while len(tokens) < len(prompt) + algorithm.env.max_tokens and tokens[-1] not in START.tokenizer.stop_ids:
        padded = jnp.array([tokens + [0] * (16 - len(tokens))])
        tokens.append(int(likeliest(padded)[len(tokens) - 1]))
    text = model.decode(tokens[len(prompt) :])
    expected = rewards_of(algorithm.env, algorithm.env.examples("train", 1, 0), [text])
    np.testing.assert_allclose(seen["baseline"], expected * 4, rtol=1e-6)
    assert metrics["reward_greedy"] == np.float32(expected[0])
