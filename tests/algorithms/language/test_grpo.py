"""GRPO: the gradient of each of its recipes, against weights of the tokens that are worked out in NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from puzzlebox.algorithms.language.common import begin
from puzzlebox.algorithms.language.grpo import GRPO
from puzzlebox.envs.text import make_task
from puzzlebox.errors import UsageError
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


LENGTH = MASK.sum(axis=1, keepdims=True)
CENTRED = np.array([[0.5], [-0.5], [-1.25], [1.25]])
SCALED = CENTRED / (np.array([[0.5], [0.5], [1.25], [1.25]]) * np.sqrt(2) + 1e-4)
RECIPES = {
    "grpo": ({}, SCALED, lambda ratio: (0.8, 1.2), 4 * LENGTH),
    "dr_grpo": ({"scale": False, "average": "fixed"}, CENTRED, lambda ratio: (0.8, 1.2), 4 * 4),
    "dapo": ({"average": "token", "clip_high": 0.28}, SCALED, lambda ratio: (0.8, 1.28), MASK.sum()),
    "gspo": (
        {"ratio": "sequence", "clip_ratio": 0.05, "clip_high": 0.1},
        SCALED,
        lambda ratio: (0.95, 1.1),
        4 * LENGTH,
    ),
}


def improved(log_prob, **options):
    algorithm = GRPO(
        make_task("tiny"), START, num_prompts=2, group_size=2, learning_rate=1e-3, max_grad_norm=1e6, **options
    )
    return algorithm._improve(
        begin(PARAMS, algorithm._optimiser(), jax.random.key(0)), batch(log_prob), jax.random.key(1)
    )


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_the_gradient_of_its_paper(name):
    options, advantage, bounds, divisor = RECIPES[name]
    new = np.asarray(log_probs(PARAMS))
    old = new - NOISE
    ratio = np.exp(NOISE)
    if name == "gspo":
        ratio = np.exp((NOISE * MASK).sum(axis=1, keepdims=True) / LENGTH) * np.ones_like(NOISE)
    low, high = bounds(ratio)
    stopped = ((advantage > 0) & (ratio > high)) | ((advantage < 0) & (ratio < low))
    state, metrics = improved(old, **options)
    check_gradient(state, np.where(stopped, 0.0, -ratio * advantage / divisor))
    outside = ((ratio < low) | (ratio > high))[MASK]
    np.testing.assert_allclose(metrics["clip_ratio"], outside.mean(), rtol=1e-5)
    assert 0 < (stopped & MASK).sum() < MASK.sum()  # both cases are there


def test_the_penalty_is_k3_in_the_loss():
    reference, new = (
        np.asarray(log_probs(eqx.filter(START.decoder, eqx.is_inexact_array))),
        np.asarray(log_probs(PARAMS)),
    )
    state, metrics = improved(new, kl_coef=0.5)
    d = new - reference
    check_gradient(state, (-SCALED + 0.5 * (1 - np.exp(-d))) / (4 * LENGTH))
    np.testing.assert_allclose(metrics["kl"], (np.exp(-d) - 1 + d)[MASK].mean(), rtol=1e-3)


def test_groups_of_equal_rewards_can_be_left_out(monkeypatch):
    monkeypatch.setitem(globals(), "REWARD", np.float32([1.0, 0.0, 1.0, 1.0]))
    state, metrics = improved(log_probs(PARAMS), drop_equal=True)
    advantage = np.array([[0.5], [-0.5], [0.0], [0.0]]) / (0.5 * np.sqrt(2) + 1e-4)
    check_gradient(state, -advantage / (2 * LENGTH))
    assert metrics["frac_reward_zero_std"] == 0.5


def test_minibatches_must_divide_the_completions():
    with pytest.raises(UsageError, match="num_minibatches is 5, which does not divide the 128 completions"):
        GRPO(make_task("tiny"), START, num_minibatches=5)
