"""Worlds that restart by themselves: the true s_{t+1} is kept, and only ended worlds start afresh."""

from typing import NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import UsageError
from puzzlebox.types import Timestep


class CountState(NamedTuple):
    count: jax.Array
    time: jax.Array


class Counter(eqx.Module):
    """Starts at 10, 20, 30 or 40; each action is added; terminated where the last digit is 5, truncated at time 4."""

    random_step = False
    observation_space = gymnasium.spaces.Discrete(100)
    action_space = gymnasium.spaces.Discrete(6)

    def reset(self, key):
        count = 10 * jax.random.randint(key, (), 1, 5, jnp.int32)
        return CountState(count, jnp.int32(0)), count

    def step(self, state, action, key):
        count, time = state.count + action, state.time + 1
        terminated = count % 10 == 5
        return CountState(count, time), Timestep(
            count, count.astype(jnp.float32), terminated, ~terminated & (time >= 4)
        )


def test_termination_truncation_and_restart_worked_by_hand():
    many = vectorize(Counter(), 3)
    start = CountState(jnp.array([10, 20, 30]), jnp.zeros(3, jnp.int32))
    actions = jnp.array([[5, 1, 2], [1, 1, 2], [1, 1, 1], [1, 1, 1]], jnp.int32)
    state, seen = start, []
    for action, key in zip(actions, jax.random.split(jax.random.key(0), 4), strict=True):
        state, timestep, observation = jax.jit(many.step)(state, action, key)
        seen.append((timestep, observation, state))
    truth = np.array([timestep.observation for timestep, _, _ in seen])
    assert truth[:, 1].tolist() == [21, 22, 23, 24]
    assert truth[:3, 2].tolist() == [32, 34, 35]
    assert truth[0, 0] == 15
    assert [timestep.terminated.tolist() for timestep, _, _ in seen] == [
        [True, False, False],
        [False, False, False],
        [False, False, True],
        [False, False, False],
    ]
    assert [timestep.truncated.tolist() for timestep, _, _ in seen] == [[False] * 3] * 3 + [[False, True, False]]
    assert int(seen[0][1][0]) in (10, 20, 30, 40) and int(seen[3][1][1]) in (10, 20, 30, 40)
    assert [int(state.time[0]) for _, _, state in seen] == [0, 1, 2, 3]
    assert [int(state.time[1]) for _, _, state in seen] == [1, 2, 3, 0]
    for timestep, observation, state in seen:
        done = timestep.terminated | timestep.truncated
        np.testing.assert_array_equal(observation, state.count)
        np.testing.assert_array_equal(observation[~done], timestep.observation[~done])


def test_fresh_starts_are_independent_and_follow_the_worlds_own_distribution():
    many = vectorize(Counter(), 2000)
    state = CountState(jnp.full(2000, 10, jnp.int32), jnp.zeros(2000, jnp.int32))
    _, _, observation = many.step(state, jnp.full(2000, 5, jnp.int32), jax.random.key(3))
    shares = np.bincount(np.asarray(observation) // 10, minlength=5)[1:] / 2000
    np.testing.assert_allclose(shares, 0.25, atol=0.04)
    pairs = np.asarray(observation).reshape(1000, 2)
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.1


def test_random_steps_get_a_key_of_their_own():
    many = vectorize(make("bandit,arms=2"), 500)
    state, _ = many.reset(jax.random.key(0))
    _, timestep, _ = many.step(state, jnp.zeros(500, jnp.int32), jax.random.key(1))
    assert len(np.unique(timestep.reward)) == 500


def test_a_world_with_its_own_vectorize_makes_its_worlds_itself():
    class Host:
        observation_space = action_space = gymnasium.spaces.Discrete(2)

        def vectorize(self, num_envs):
            return f"{num_envs} of mine"

        def single(self, render_mode=None): ...

        def close(self): ...

    assert vectorize(Host(), 4) == "4 of mine"


def test_fewer_than_one_world_is_refused():
    with pytest.raises(UsageError, match="num_envs is 0; it must be at least 1"):
        vectorize(Counter(), 0)
