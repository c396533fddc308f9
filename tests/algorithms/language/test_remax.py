"""ReMax: REINFORCE with the greedy completion's reward as baseline, by hand and where everything can be enumerated."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from puzzlebox.algorithms.language import common
from puzzlebox.algorithms.language.common import begin
from puzzlebox.algorithms.language.remax import ReMax
from puzzlebox.envs.text import make_task
from puzzlebox.run.models import load_model
from puzzlebox.types import Trajectory

START = load_model("new,layers=1,width=16,heads=2,kv_heads=2,hidden=32,context=32")
MASK = np.array([[0, 1, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0], [0, 1, 1, 0]], bool)
REWARD = np.float32([1.0, 0.0, -0.5, 2.0])  # of four completions, two to a prompt
TOKENS = np.random.default_rng(0).integers(3, 200, (4, 5))
NOISE = np.random.default_rng(1).normal(0, 0.5, (4, 4)).astype(np.float32)
PARAMS = jax.tree.map(lambda x: 1.1 * x, eqx.filter(START.decoder, eqx.is_inexact_array))  # no longer the start


@jax.jit
def log_probs(params):
    table = jax.nn.log_softmax(eqx.combine(params, START.decoder)(TOKENS[:, :-1]))
    return jnp.take_along_axis(table, TOKENS[:, 1:, None], axis=-1)[..., 0]


@jax.jit
def weighted(weight):
    """Σ w ∇ log π, what every gradient here must be for some w worked out by hand."""
    return jax.grad(lambda params: jnp.sum(weight * log_probs(params)))(PARAMS)


def batch(log_prob):
    last = MASK & (np.cumsum(MASK[:, ::-1], axis=1)[:, ::-1] == 1)
    reward, none = last * REWARD[:, None], jnp.zeros(MASK.shape, bool)
    tokens = jnp.asarray(TOKENS, jnp.int32)
    return jax.tree.map(
        jnp.asarray, Trajectory(tokens[:, :-1], tokens[:, 1:], log_prob * MASK, reward, last, none, tokens[:, 1:], MASK)
    )


def check_gradient(state, weight):
    """Adam's first moment after one step is a tenth of the gradient."""
    ours, hand = optax.tree.get(state.optimiser, "mu"), weighted(jnp.asarray(weight * MASK, jnp.float32))
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(hand), strict=True):
        np.testing.assert_allclose(10 * one, other, rtol=2e-3, atol=2e-5)


def improve(trajectory, baseline, **options):
    algorithm = ReMax(make_task("tiny"), START, max_grad_norm=1e6, **options)
    state = begin(PARAMS, algorithm._optimiser(), jax.random.key(0))
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
    expected = common.rewards(algorithm.env, algorithm.env.examples("train", 1, 0), [text])
    np.testing.assert_allclose(seen["baseline"], expected * 4, rtol=1e-6)
    assert metrics["reward_greedy"] == np.float32(expected[0])
