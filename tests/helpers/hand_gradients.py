"""Four completions of a tiny model, and the gradient that token weights worked out by hand ask for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from puzzlebox.runs.build import load_model
from puzzlebox.types import Trajectory

START = load_model("new,layers=1,width=16,heads=2,kv_heads=2,hidden=32,context=32")
MASK = np.array([[0, 1, 1, 1], [0, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]], bool)
REWARD = np.float32([1.0, 0.0, -0.5, 2.0])  # of four completions, two to a prompt
TOKENS = np.random.default_rng(0).integers(3, 200, (4, 5))
TOKENS[1, :2], TOKENS[3, :1] = TOKENS[0, :2], TOKENS[2, :1]  # the prompts
NOISE = np.random.default_rng(2).normal(0, 0.5, (4, 4)).astype(np.float32)
PARAMS = jax.tree.map(lambda x: 1.1 * x, eqx.filter(START.decoder, eqx.is_inexact_array))  # no longer the start


@jax.jit
def log_probs(params):
    table = jax.nn.log_softmax(eqx.combine(params, START.decoder)(TOKENS[:, :-1]))
    return jnp.take_along_axis(table, TOKENS[:, 1:, None], axis=-1)[..., 0]


@jax.jit
def weighted(weight):
    """Σ w ∇ log π, what every gradient here must be for some w worked out by hand."""
    return jax.grad(lambda params: jnp.sum(weight * log_probs(params)))(PARAMS)


def batch(log_prob, reward=REWARD):
    last = MASK & (np.cumsum(MASK[:, ::-1], axis=1)[:, ::-1] == 1)
    reward, none = last * reward[:, None], jnp.zeros(MASK.shape, bool)
    tokens = jnp.asarray(TOKENS, jnp.int32)
    return jax.tree.map(
        jnp.asarray, Trajectory(tokens[:, :-1], tokens[:, 1:], log_prob * MASK, reward, last, none, tokens[:, 1:], MASK)
    )


def check_gradient(state, weight):
    """Adam's first moment after one step is a tenth of the gradient."""
    ours, hand = optax.tree.get(state.optimiser, "mu"), weighted(jnp.asarray(weight * MASK, jnp.float32))
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(hand), strict=True):
        np.testing.assert_allclose(10 * one, other, rtol=2e-3, atol=2e-5)
