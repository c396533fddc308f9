"""Our worlds as Gymnasium environments, checked by Gymnasium itself."""

import warnings

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import puzzlebox.envs.gymnasium_export
from puzzlebox.envs import ENVIRONMENTS, make
from puzzlebox.envs.gymnasium_export import GymnasiumEnvironment
from puzzlebox.errors import UsageError

# What Gymnasium says of its own CartPole and Pendulum as well, whose spaces ours share.
ABOUT_THE_SPACES = "A Box observation space m|For Box action spaces, we recommend"


OTHER_LEVELS = ("platformer/level-2", "platformer/level-3", "platformer/random")  # the same world on other maps


@pytest.mark.parametrize("name", [name for name in ENVIRONMENTS if name not in OTHER_LEVELS])
def test_gymnasiums_own_checker_passes(name):
    env = gymnasium.make(f"puzzlebox/{name.replace('/', '-')}", disable_env_checker=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
    others = [str(w.message) for w in caught if not any(part in str(w.message) for part in ABOUT_THE_SPACES.split("|"))]
    assert not others
    env.close()


def test_an_episode_is_the_worlds_own():
    env, world = GymnasiumEnvironment("CartPole-v1"), make("CartPole-v1")
    first, _ = env.reset(seed=3)
    again, _ = env.reset(seed=3)
    np.testing.assert_array_equal(first, again)
    state = env._state
    for action in (0, 1, 1):
        observation, reward, terminated, truncated, info = env.step(action)
        state, timestep = world.step(state, np.int32(action), jax.random.key(0))
        np.testing.assert_allclose(observation, timestep.observation, rtol=1e-6, atol=1e-7)
        assert (reward, terminated, truncated, info) == (1.0, False, False, {})
        assert type(reward) is float and type(terminated) is bool
    assert (env.reset()[0] != first).all()


def test_options_and_time_limit_travel():
    env = GymnasiumEnvironment("CartPole-v1,time_limit=2")
    env.reset(seed=0)
    assert env.step(0)[2:4] == (False, False)
    assert env.step(1)[2:4] == (False, True)
    assert gymnasium.make("puzzlebox.envs.gymnasium_export:puzzlebox/Acrobot-v1").action_space.n == 3


def test_a_space_of_one_environment_is_not_anothers():
    one, two = GymnasiumEnvironment("CartPole-v1"), GymnasiumEnvironment("CartPole-v1")
    assert one.action_space == two.action_space and one.action_space is not two.action_space


def test_pictures():
    env = gymnasium.make("puzzlebox/Pendulum-v1", render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (500, 500, 3)
    env = GymnasiumEnvironment("probe/matching", render_mode="rgb_array")
    env.reset(seed=0)
    with pytest.raises(UsageError, match="Matching draws no pictures"):
        env.render()


def test_wrong_use_is_one_clear_line():
    with pytest.raises(UsageError, match="did you mean CartPole-v1"):
        GymnasiumEnvironment("CartPole-v9")
    with pytest.raises(UsageError, match="gym:Blackjack-v1 is an environment of Gymnasium already"):
        GymnasiumEnvironment("gym:Blackjack-v1")
    with pytest.raises(UsageError, match="render_mode is 'human'; choose rgb_array or none"):
        GymnasiumEnvironment("CartPole-v1", render_mode="human")
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset before step"):
        GymnasiumEnvironment("CartPole-v1").step(0)


def test_registering_twice_changes_nothing():
    before = gymnasium.registry["puzzlebox/CartPole-v1"]
    puzzlebox.envs.gymnasium_export.register()
    assert gymnasium.registry["puzzlebox/CartPole-v1"] is before
