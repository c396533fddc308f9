"""PPO collects what the definition of its advantages asks for, of numbers and of pictures, and sees each only once."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.deep.ppo import PPO
from puzzlebox.types import Timestep


class Numbers(eqx.Module):
    """What is seen grows by one a step; an episode ends by chance, and else a clock cuts it after 4 steps."""

    observation_space = gymnasium.spaces.Box(0, 255, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def seen(self, number):
        return number[None].astype(jnp.float32)

    def reset(self, key):
        number = jax.random.randint(key, (), 0, 100)
        return (number, jnp.int32(0)), self.seen(number)

    def step(self, state, action, key):
        number, time = state[0] + 1, state[1] + 1
        terminated = jax.random.bernoulli(key, 0.2)
        reward = number / 100 + action
        return (number, time), Timestep(self.seen(number), reward, terminated, ~terminated & (time >= 4))


class Pictures(Numbers):
    observation_space = gymnasium.spaces.Box(0, 255, (4, 4, 1), np.uint8)

    def seen(self, number):
        return jnp.arange(16, dtype=jnp.uint8).reshape(4, 4, 1) + number.astype(jnp.uint8)


@pytest.mark.parametrize("world", [Numbers, Pictures])
def test_advantages_are_those_of_the_definition(world):
    agent = PPO(world(), num_envs=3, num_steps=20, num_minibatches=1, hidden=(8,), discount=0.9, gae_lambda=0.8)
    state = agent.init(jax.random.key(0))
    worlds, trajectory, _ = jax.jit(agent._collect)(state, jax.random.key(1))
    advantage, target = agent._advantages(state.nets, worlds, trajectory)

    # the definition reads every observation and every true next one, a row at a time
    def value(observation):
        return np.asarray(state.nets.value(observation.astype(jnp.float32) if world is Numbers else observation))

    now, later = value(trajectory.observation), value(trajectory.next_observation)
    terminated, truncated = np.asarray(trajectory.terminated), np.asarray(trajectory.truncated)
    assert terminated.any() and truncated[:-1].any() and np.ptp(now) > 0.1
    expected, follows = np.zeros((21, 3)), ~(terminated | truncated)
    for t in reversed(range(20)):
        error = trajectory.reward[t] + 0.9 * later[t] * ~terminated[t] - now[t]
        expected[t] = error + 0.9 * 0.8 * follows[t] * expected[t + 1]
    np.testing.assert_allclose(advantage, expected[:-1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(target, expected[:-1] + now, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("world", [Numbers, Pictures])
def test_the_log_probabilities_are_those_of_the_actions(world):
    agent = PPO(world(), num_envs=3, num_steps=4, num_minibatches=1, hidden=(8,))
    state = agent.init(jax.random.key(0))
    _, trajectory, _ = jax.jit(agent._collect)(state, jax.random.key(1))
    log_probs = state.nets.policy(trajectory.observation).log_probs
    chosen = np.take_along_axis(np.asarray(log_probs), np.asarray(trajectory.action)[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(trajectory.log_prob, chosen, rtol=1e-5)
