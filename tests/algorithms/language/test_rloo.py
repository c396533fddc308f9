"""RLOO: its gradient against token weights worked out by hand, and a resumed run."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from puzzlebox.algorithms.language.common import begin
from puzzlebox.algorithms.language.rloo import RLOO
from puzzlebox.envs.text import make_task
from puzzlebox.run import checkpoint
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


def test_the_others_are_the_baseline_and_the_divergence_is_part_of_the_reward():
    algorithm = RLOO(make_task("tiny"), START, num_prompts=2, group_size=2, kl_coef=0.3, max_grad_norm=1e6)
    state = begin(PARAMS, algorithm._optimiser(), jax.random.key(0))
    new, reference = (
        np.asarray(log_probs(PARAMS)),
        np.asarray(log_probs(eqx.filter(START.decoder, eqx.is_inexact_array))),
    )
    drift = ((new - reference) * MASK).sum(axis=1)
    paid = REWARD - 0.3 * drift
    advantage = np.array([paid[0] - paid[1], paid[1] - paid[0], paid[2] - paid[3], paid[3] - paid[2]])
    state, metrics = algorithm._improve(state, batch(log_probs(PARAMS)))
    check_gradient(state, -advantage[:, None] / 4)
    np.testing.assert_allclose(metrics["kl"], drift.mean(), rtol=1e-3)


def test_a_restored_state_with_adapters_goes_on_bit_for_bit(tmp_path):
    algorithm = RLOO(make_task("tiny"), START, num_prompts=2, group_size=4, learning_rate=1e-2, lora_rank=2)
    state, metrics = algorithm.step(algorithm.init(jax.random.key(3)))
    assert abs(metrics["kl"]) < 1e-5  # the first iteration is the start's
    checkpoint.save(tmp_path, 1, state, {})
    restored, _, _ = checkpoint.load_newest(tmp_path, eqx.filter_eval_shape(algorithm.init, jax.random.key(0)))
    ahead, again = algorithm.step(state), algorithm.step(restored)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(jnp.all(a == b)), ahead, again)))
    assert all(jnp.any(x != 0) for layer in ahead[0].params.layers for x in jax.tree.leaves(layer))
