"""Every deep algorithm on worlds whose values are known: the five probes, and one that tells truncation from death."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import probes
from puzzlebox.types import Timestep
from small_agents import AGENTS, DISCOUNT, trained, values

PROBES = [
    probes.OneAction,
    probes.ObservedReward,
    probes.DelayedReward,
    probes.ActionReward,
    probes.Matching,
]


class Endless(eqx.Module):
    """Reward 1 for ever, but a clock cuts every episode after 3 steps: the value is 1 / (1 − γ) all the same."""

    observation_space = gymnasium.spaces.Box(0, 0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(1)

    def reset(self, key):
        return jnp.int32(0), jnp.zeros(1)

    def step(self, state, action, key):
        return state + 1, Timestep(jnp.zeros(1), jnp.float32(1), jnp.bool_(False), state + 1 >= 3)


@pytest.mark.parametrize("make", PROBES, ids=lambda probe: probe.__name__)
@pytest.mark.parametrize("name", AGENTS)
def test_probe(name, make):
    env = make()
    agent = AGENTS[name](env)
    state = trained(agent)
    truth = env.action_values(DISCOUNT)
    action = agent.policy(state, greedy=True)(jnp.asarray(env.observations, jnp.float32), jax.random.key(1))
    np.testing.assert_array_equal(action, truth.argmax(axis=-1))
    np.testing.assert_allclose(values(state, env.observations), truth.max(axis=-1), atol=0.12)


@pytest.mark.parametrize("name", AGENTS)
def test_truncation_is_not_death(name):
    state = trained(AGENTS[name](Endless()))
    np.testing.assert_allclose(values(state, [[0.0]]), [1 / (1 - DISCOUNT)], rtol=0.1)
