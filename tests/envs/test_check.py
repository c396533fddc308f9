"""The checker passes every world of ours and names what is broken in a broken one."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import ENVIRONMENTS, make
from puzzlebox.envs.check import check_environment, sample_actions
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import PuzzleboxError
from puzzlebox.types import Timestep

OTHER_LEVELS = ("platformer/level-2", "platformer/level-3", "platformer/random")  # the same world on other maps


@pytest.mark.parametrize("name", [name for name in ENVIRONMENTS if name not in OTHER_LEVELS])
def test_every_world_of_ours_is_sound(name):
    check_environment(make(name), steps=120)


class Sound(eqx.Module):
    random_step = False
    observation_space = gymnasium.spaces.Box(0, 9, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, key):
        return jnp.zeros(1), jnp.zeros(1)

    def step(self, state, action, key):
        state = state + 1
        done = state[0] >= 5
        return state, Timestep(state, jnp.float32(1), done, jnp.zeros_like(done))


def _broken(change):
    class Broken(Sound):
        def step(self, state, action, key):
            state, timestep = Sound.step(self, state, action, key)
            return change(state, timestep)

    return Broken()


BROKEN = {
    "a step is both terminated and truncated": lambda s, t: (s, t._replace(truncated=t.terminated)),
    r"the observation \[2[0-9.]*\] is not in Box": lambda s, t: (s, t._replace(observation=s + 19)),
    r"reward is int32\[\]; it must be float32\[\]": lambda s, t: (s, t._replace(reward=jnp.int32(1))),
    r"terminated is float32\[\]; it must be bool": lambda s, t: (s, t._replace(terminated=jnp.float32(1))),
    r"an observation is float32\[2\]; its space says float32\[1\]": lambda s, t: (
        s,
        t._replace(observation=jnp.zeros(2)),
    ),
    "a reward is not finite": lambda s, t: (s, t._replace(reward=jnp.float32(jnp.nan))),
    r"changes the form of the state from float32\[1\] to int32\[1\]": lambda s, t: (s.astype(jnp.int32), t),
    "weakly typed": lambda s, t: (s, t._replace(reward=jnp.where(t.terminated, 1.0, 0.0))),
}


@pytest.mark.parametrize("message", list(BROKEN))
def test_a_broken_world_is_named(message):
    with pytest.raises(PuzzleboxError, match=message):
        check_environment(_broken(BROKEN[message]), steps=20)


class BadVector(eqx.Module):
    """A vector world around `Sound`, with one fault."""

    fault: str
    env = vectorize(Sound(), 3)
    num_envs = 3
    observation_space = Sound.observation_space
    action_space = Sound.action_space

    def reset(self, key):
        return self.env.reset(key)

    def step(self, state, action, key):
        state, timestep, observation = self.env.step(state, action, key)
        if self.fault == "jump":
            observation = jnp.zeros_like(observation)
        return state, timestep, observation


def test_a_vector_world_is_checked_as_it_is():
    check_environment(BadVector("none"), steps=20)
    with pytest.raises(PuzzleboxError, match=r"differs from s_\{t\+1\} though no episode ended"):
        check_environment(BadVector("jump"), steps=20)


def test_a_world_whose_step_is_random_but_says_it_is_not():
    class Liar(Sound):
        def step(self, state, action, key):
            state, timestep = Sound.step(self, state, action, key)
            return state, timestep._replace(reward=jax.random.uniform(key))

    with pytest.raises(PuzzleboxError, match="reward of many worlds is not that of each alone"):
        check_environment(Liar(), steps=20)


def test_sampled_actions_fill_their_space():
    key = jax.random.key(0)
    multi = sample_actions(gymnasium.spaces.MultiDiscrete([2, 3]), (200,), key)
    assert multi.shape == (200, 2) and multi.max(0).tolist() == [1, 2]
    box = sample_actions(gymnasium.spaces.Box(np.float32([-1, 5]), np.float32([1, 6])), (200,), key)
    assert box.min(0).tolist() > [-1, 5] and box.max(0).tolist() < [1, 6]
    with pytest.raises(PuzzleboxError, match="not Discrete, MultiDiscrete or a bounded Box"):
        sample_actions(gymnasium.spaces.MultiBinary(3), (), key)
