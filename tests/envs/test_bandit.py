"""Bandits: arms pay what their means say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.bandit import Bandit
from puzzlebox.errors import UsageError


def _pull(env, action, times=4000):
    step = jax.vmap(lambda key: env.step(jnp.int32(0), jnp.int32(action), key)[1])
    return step(jax.random.split(jax.random.key(action), times))


def test_gaussian_arms():
    env = Bandit(means=jnp.array([-1.0, 2.0]), deviation=0.5)
    for action, mean in ((0, -1), (1, 2)):
        timestep = _pull(env, action)
        assert abs(float(timestep.reward.mean()) - mean) < 0.04
        assert abs(float(timestep.reward.std()) - 0.5) < 0.04
        assert timestep.terminated.all() and not timestep.truncated.any()


def test_bernoulli_arms():
    env = Bandit(noise="bernoulli", means=jnp.array([0.2, 0.9]))
    for action, mean in ((0, 0.2), (1, 0.9)):
        rewards = np.asarray(_pull(env, action).reward)
        assert set(rewards.tolist()) == {0.0, 1.0}
        assert abs(rewards.mean() - mean) < 0.03


def test_regret_is_the_distance_to_the_best_arm():
    env = Bandit(means=jnp.array([0.5, 2.0, -1.0]))
    np.testing.assert_allclose(env.regret(jnp.array([0, 1, 2])), [1.5, 0, 3])


def test_drawn_means_depend_on_the_seed_alone():
    assert make("bandit,arms=4").arm_means.shape == (4,)
    np.testing.assert_array_equal(make("bandit,seed=3").arm_means, make("bandit,seed=3,deviation=2").arm_means)
    assert (make("bandit,seed=3").arm_means != make("bandit,seed=4").arm_means).all()
    probabilities = make("bandit,arms=200,noise=bernoulli").arm_means
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    assert make("bandit,arms=7").action_space.n == 7


def test_options_out_of_range():
    with pytest.raises(UsageError, match="arms is 0; it must be at least 1"):
        make("bandit,arms=0")
    with pytest.raises(UsageError, match="noise is 'pink'; choose one of: gaussian, bernoulli"):
        make("bandit,noise=pink")
