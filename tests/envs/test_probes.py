"""The values the probe worlds claim, against returns enumerated by stepping every observation and action."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import ENVIRONMENTS, make

PROBES = [name for name in ENVIRONMENTS if name.startswith("probe/")]
KEY = jax.random.key(0)


def _best_return(env, observation, action, discount):
    _, timestep = env.step(jnp.asarray(observation), jnp.int32(action), KEY)
    if timestep.terminated:
        return float(timestep.reward)
    actions = range(int(env.action_space.n))
    rest = max(_best_return(env, timestep.observation, following, discount) for following in actions)
    return float(timestep.reward) + discount * rest


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("discount", [0.0, 0.5, 0.9])
def test_claimed_values_are_true(name, discount):
    env = make(name)
    found = [[_best_return(env, o, a, discount) for a in range(int(env.action_space.n))] for o in env.observations]
    np.testing.assert_allclose(env.action_values(discount), found)


def test_values_written_out():
    values = {name: make(name).action_values(0.9).tolist() for name in PROBES}
    assert values == {
        "probe/one-action": [[1]],
        "probe/observed-reward": [[-1], [1]],
        "probe/delayed-reward": [[0.9], [1]],
        "probe/action-reward": [[-1, 1]],
        "probe/matching": [[1, -1], [-1, 1]],
        "probe/pixels": [[-1, 1], [-1, 1], [1, -1], [1, -1]] * 4,
    }


@pytest.mark.parametrize("name", PROBES)
def test_starts_are_the_listed_observations(name):
    env = make(name)
    _, starts = jax.vmap(env.reset)(jax.random.split(KEY, 200))
    listed = env.observations[:1] if name == "probe/delayed-reward" else env.observations
    np.testing.assert_array_equal(np.unique(starts, axis=0), listed)
    assert abs(float(starts.mean()) - float(listed.mean())) < 0.2
