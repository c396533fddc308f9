"""Networks for screens, and DQN's options, on tiny worlds whose values are known."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.deep.dqn import DQN
from puzzlebox.algorithms.deep.ppo import PPO
from puzzlebox.envs import probes
from puzzlebox.types import Timestep
from small_agents import AGENTS, DISCOUNT, SMALL, trained, values

ALL = {"dueling": True, "prioritised": True, "n_step": 3, "distributional": True, "num_atoms": 9, "value_limit": 2}
ALL |= {"noisy": True}
OPTIONS = [
    (probes.Matching, ("prioritised",)),
    (probes.DelayedReward, ("n_step",)),
    (probes.DelayedReward, ("distributional", "num_atoms", "value_limit")),
    (probes.Matching, ("noisy",)),
    (probes.Matching, tuple(ALL)),  # Rainbow
]


@pytest.mark.parametrize(("make", "names"), OPTIONS, ids=lambda value: value[0] if isinstance(value, tuple) else "")
def test_every_option_of_dqn_learns(make, names):
    env = make()
    fast = {"steps": 8_000, "learning_rate": 1e-2, "learning_starts": 64, "capacity": 2_000, "batch_size": 64}
    agent = DQN(env, **(SMALL | fast | {name: ALL[name] for name in names}))
    state = trained(agent)
    truth = env.action_values(DISCOUNT)
    action = agent.policy(state, greedy=True)(jnp.asarray(env.observations, jnp.float32), jax.random.key(1))
    np.testing.assert_array_equal(action, truth.argmax(axis=-1))
    np.testing.assert_allclose(values(state, env.observations), truth.max(axis=-1), atol=0.2)


class Spot(eqx.Module):
    """`probes.Pixels` on a screen: two steps an episode, two stacked frames of bytes; the newest has the bright spot.

    The first step of an episode pays nothing, the second one by the first picture's spot: only the stack tells it.
    """

    frame_stack = 2
    observation_space = gymnasium.spaces.Box(0, 255, (4, 4, 2), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, key):
        place = jax.random.randint(key, (), 0, 16)
        frame = (jnp.arange(16) == place).reshape(4, 4, 1).astype(jnp.uint8) * 255
        observation = jnp.concatenate([jnp.zeros_like(frame), frame], axis=-1)
        return (observation, jnp.int32(0)), observation

    def step(self, state, action, key):
        observation, time = state
        frame = observation[..., :1]
        right = (action == 1) == (frame[:, 2:].sum() > 0)
        reward = jnp.where(time == 1, jnp.where(right, 1.0, -1.0), 0.0)
        after = jnp.concatenate([observation[..., 1:], jnp.zeros_like(frame)], axis=-1)
        over = time == 1
        return (after, time + 1), Timestep(after, reward, over, jnp.zeros_like(over))


@pytest.mark.parametrize("name", ["ppo", "dqn", "dqn prioritised"])
def test_stacked_screens_are_learned_from(name):
    if name == "ppo":
        agent = PPO(Spot(), **SMALL, steps=12_800, num_envs=8, num_steps=16, learning_rate=1e-2)
    else:
        agent = DQN(
            Spot(),
            **SMALL,
            steps=8_000,
            learning_rate=3e-3,
            learning_starts=64,
            capacity=2_000,
            batch_size=64,
            prioritised=name != "dqn",
        )
    state = trained(agent)
    starts = np.zeros((16, 4, 4, 2), np.uint8)
    starts[np.arange(16), np.arange(16) // 4, np.arange(16) % 4, 1] = 255
    later = np.concatenate([starts[..., 1:], np.zeros_like(starts[..., :1])], axis=-1)
    action = agent.policy(state, greedy=True)(jnp.asarray(later), jax.random.key(1))
    np.testing.assert_array_equal(action, np.arange(16) % 4 >= 2)
    np.testing.assert_allclose(values(state, np.concatenate([starts, later])), [DISCOUNT] * 16 + [1] * 16, atol=0.2)


class EndlessScreen(eqx.Module):
    """Reward 1 for ever to look at; a clock cuts every episode after 3 steps, and every frame is the same."""

    observation_space = gymnasium.spaces.Box(0, 255, (4, 4, 1), np.uint8)
    action_space = gymnasium.spaces.Discrete(1)

    def reset(self, key):
        return jnp.int32(0), jnp.full((4, 4, 1), 255, jnp.uint8)

    def step(self, state, action, key):
        seen = jnp.full((4, 4, 1), 255, jnp.uint8)
        return state + 1, Timestep(seen, jnp.float32(1), jnp.bool_(False), state + 1 >= 3)


@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_truncation_is_not_death_on_a_screen(name):
    state = trained(AGENTS[name](EndlessScreen()))
    np.testing.assert_allclose(values(state, np.full((1, 4, 4, 1), 255)), 1 / (1 - DISCOUNT), rtol=0.1)
