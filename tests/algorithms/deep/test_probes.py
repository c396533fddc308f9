"""Every deep algorithm on worlds whose values are known: the five probes, and one that tells truncation from death."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.deep.actor_critic import ActorCritic
from puzzlebox.algorithms.deep.dqn import DQN
from puzzlebox.algorithms.deep.ppo import PPO
from puzzlebox.algorithms.deep.reinforce import Reinforce
from puzzlebox.envs import probes
from puzzlebox.types import Timestep

DISCOUNT = 0.8
SMALL = {"hidden": (16,), "discount": DISCOUNT}
AGENTS = {
    "ppo": lambda env: PPO(env, steps=6_400, num_envs=8, num_steps=16, learning_rate=1e-2, **SMALL),
    "actor_critic": lambda env: ActorCritic(env, steps=32_000, num_envs=16, num_steps=4, learning_rate=1e-2, **SMALL),
    "reinforce": lambda env: Reinforce(env, steps=64_000, num_envs=16, num_steps=8, learning_rate=1e-2, **SMALL),
    "dqn": lambda env: DQN(env, steps=8_000, learning_rate=1e-2, learning_starts=64, capacity=2_000, **SMALL),
}
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


def trained(agent):
    """The state after training, in one compiled call."""
    iterations = agent.steps // agent.iteration_steps
    run = jax.jit(lambda key: jax.lax.fori_loop(0, iterations, lambda _, s: agent.step(s)[0], agent.init(key)))
    return run(jax.random.key(0))


def values(state, observations):
    """The learned value of each observation: the critic's, or the best action's."""
    x = jnp.asarray(observations, jnp.float32)
    return np.asarray(state.nets[1](x)[:, 0] if hasattr(state, "nets") else state.net(x).max(axis=-1))


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
