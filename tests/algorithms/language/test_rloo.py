"""RLOO: its gradient against token weights worked out by hand, and a resumed run."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from hand_gradients import MASK, PARAMS, REWARD, START, batch, check_gradient, log_probs
from puzzlebox.acting.score import widths
from puzzlebox.algorithms.language.fine_tuning import initial_state
from puzzlebox.algorithms.language.rloo import RLOO
from puzzlebox.envs.text import make_task
from puzzlebox.runs import checkpoint


def test_the_others_are_the_baseline_and_the_divergence_is_part_of_the_reward():
    algorithm = RLOO(make_task("tiny"), START, num_prompts=2, group_size=2, kl_coef=0.3, max_grad_norm=1e6)
    state = initial_state(PARAMS, algorithm.transform(), jax.random.key(0))
    new, reference = (
        np.asarray(log_probs(PARAMS)),
        np.asarray(log_probs(eqx.filter(START.decoder, eqx.is_inexact_array))),
    )
    drift = ((new - reference) * MASK).sum(axis=1)
    paid = REWARD - 0.3 * drift
    advantage = np.array([paid[0] - paid[1], paid[1] - paid[0], paid[2] - paid[3], paid[3] - paid[2]])
    state, metrics = algorithm._improve(state, batch(log_probs(PARAMS)), widths(MASK))
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
