"""DQN's replay: how large it is, what it refuses, and that a million frames fit."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.deep.dqn import DQN
from puzzlebox.algorithms.presets import preset
from puzzlebox.envs import probes
from puzzlebox.errors import UsageError
from puzzlebox.types import Timestep


class Screen(eqx.Module):
    """Nothing to see, in four stacked frames."""

    frame_stack = 4
    observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    action_space = gymnasium.spaces.Discrete(6)

    def reset(self, key):
        return jnp.int32(0), jnp.zeros((84, 84, 4), jnp.uint8)

    def step(self, state, action, key):
        return state, Timestep(jnp.zeros((84, 84, 4), jnp.uint8), jnp.float32(0), jnp.bool_(False), jnp.bool_(False))


@pytest.mark.parametrize("prioritised", [False, True])
def test_a_million_frames_fit(prioritised):
    agent = DQN(Screen(), **preset("dqn", "atari:pong"), prioritised=prioritised)
    past = jax.eval_shape(agent.init, jax.random.key(0)).past
    assert past.steps.storage.action.size == 1_000_000
    assert past.steps.storage.frame.size == 1_000_000 * 84 * 84
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(past)) <= 7.5e9


def test_a_replay_is_never_longer_than_the_training():
    past = jax.eval_shape(DQN(probes.Matching(), steps=640, capacity=10_000).init, jax.random.key(0)).past
    assert past.steps.storage.action.shape == (80, 8)


def test_a_replay_without_room_for_a_stretch_is_refused():
    with pytest.raises(UsageError, match="8 steps of each world, too few for 4 frames and 6 rewards"):
        DQN(Screen(), capacity=64, n_step=6)
    DQN(Screen(), capacity=128, n_step=6)
    with pytest.raises(UsageError, match="capacity is 16"):
        DQN(probes.Matching(), capacity=16)
