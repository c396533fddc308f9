"""GRPO: the gradient of each of its recipes, against weights of the tokens that are worked out in NumPy."""

import equinox as eqx
import jax
import numpy as np
import pytest

from hand_gradients import MASK, NOISE, PARAMS, REWARD, START, batch, check_gradient, log_probs
from puzzlebox.acting.score import widths
from puzzlebox.algorithms.language.fine_tuning import initial_state
from puzzlebox.algorithms.language.grpo import GRPO
from puzzlebox.envs.text import make_task
from puzzlebox.errors import UsageError

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


def improved(log_prob, reward=REWARD, **options):
    algorithm = GRPO(
        make_task("tiny"), START, num_prompts=2, group_size=2, learning_rate=1e-3, max_grad_norm=1e6, **options
    )
    state = initial_state(PARAMS, algorithm.transform(), jax.random.key(0))
    return algorithm._improve(state, batch(log_prob, reward), widths(MASK), jax.random.key(1))


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
    np.testing.assert_allclose(metrics["clip_fraction"], outside.mean(), rtol=1e-5)
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


def test_groups_of_equal_rewards_can_be_left_out():
    state, metrics = improved(log_probs(PARAMS), np.float32([1.0, 0.0, 1.0, 1.0]), drop_equal=True)
    advantage = np.array([[0.5], [-0.5], [0.0], [0.0]]) / (0.5 * np.sqrt(2) + 1e-4)
    check_gradient(state, -advantage / (2 * LENGTH))
    assert metrics["frac_reward_zero_std"] == 0.5


def test_minibatches_must_divide_the_prompts():
    with pytest.raises(UsageError, match="num_minibatches is 5, which does not divide num_prompts, 16"):
        GRPO(make_task("tiny"), START, num_minibatches=5)
