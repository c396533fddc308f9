"""Our control worlds beside Gymnasium's own: every step of many episodes, from the same state with the same action."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.acrobot import AcrobotState
from puzzlebox.envs.cartpole import CartPoleState
from puzzlebox.envs.mountain_car import MountainCarState
from puzzlebox.envs.pendulum import PendulumState

STATES = {
    "CartPole-v1": CartPoleState,
    "Acrobot-v1": AcrobotState,
    "MountainCar-v0": MountainCarState,
    "Pendulum-v1": PendulumState,
}
TOLERANCE = {"CartPole-v1": 2e-6, "Acrobot-v1": 3e-5, "MountainCar-v0": 1e-6, "Pendulum-v1": 1e-5}


def _choose(name, observation, rng, action_space, skilled):
    """Random actions, or ones that put energy in and reach the goal, so that both kinds of ending are seen."""
    if name == "Pendulum-v1":
        return rng.uniform(-3, 3, 1).astype(np.float32)  # also beyond the limit, where both clip
    if name != "CartPole-v1" and skilled:
        return np.int32(2 if observation[-1] >= 0 else 0)
    return np.int32(rng.integers(action_space.n))


@pytest.mark.parametrize("name", list(STATES))
def test_every_step_agrees(name):
    host, ours, rng = gymnasium.make(name), make(name), np.random.default_rng(3)
    starts, times, actions, expected = [], [], [], []
    for episode in range(8):
        observation, _ = host.reset(seed=episode)
        if name == "MountainCar-v0" and episode == 0:
            host.unwrapped.state = np.array([-1.18, -0.06])  # into the left wall
        time, done = 0, False
        while not done:
            starts.append(np.asarray(host.unwrapped.state, np.float64))
            action = _choose(name, observation, rng, host.action_space, episode > 1)
            observation, reward, terminated, truncated, _ = host.step(action)
            times.append(time)
            actions.append(action)
            expected.append((observation, reward, terminated, truncated and not terminated))
            done, time = terminated or truncated, time + 1
    if name == "Pendulum-v1":  # our angle stays in [−π, π), theirs counts turns
        starts = [np.array([(angle + np.pi) % (2 * np.pi) - np.pi, spin]) for angle, spin in starts]
    states = STATES[name](jnp.asarray(np.stack(starts), jnp.float32), jnp.asarray(times, jnp.int32))
    _, timestep = jax.jit(jax.vmap(ours.step, (0, 0, None)))(states, jnp.asarray(np.stack(actions)), jax.random.key(0))
    observations, rewards, terminated, truncated = (np.stack(part) for part in zip(*expected, strict=True))
    np.testing.assert_allclose(timestep.observation, observations, atol=TOLERANCE[name], rtol=TOLERANCE[name])
    np.testing.assert_allclose(timestep.reward, rewards, atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(timestep.terminated, terminated)
    np.testing.assert_array_equal(timestep.truncated, truncated)
    assert terminated.any() or name == "Pendulum-v1"
    assert truncated.any() or name == "CartPole-v1"


@pytest.mark.parametrize("name", list(STATES))
def test_spaces_and_time_limit_are_gymnasiums(name):
    host, ours = gymnasium.make(name), make(name)
    assert ours.observation_space == host.observation_space
    assert ours.action_space == host.action_space
    assert ours.time_limit == host.spec.max_episode_steps
    assert ours.observation_space is make(name).observation_space


@pytest.mark.parametrize("name", list(STATES))
def test_starts_cover_gymnasiums_range(name):
    host, ours = gymnasium.make(name), make(name)
    theirs = np.stack([np.array(host.reset(seed=seed)[0]) for seed in range(500)])
    _, observations = jax.vmap(ours.reset)(jax.random.split(jax.random.key(5), 500))
    assert observations.dtype == np.float32
    np.testing.assert_allclose(observations.mean(0), theirs.mean(0), atol=0.15 * theirs.std(0).max() + 1e-6)
    np.testing.assert_allclose(observations.std(0), theirs.std(0), rtol=0.15, atol=1e-6)


def test_a_pole_held_upright_is_cut_off_at_the_limit_and_not_terminated():
    env = make("CartPole-v1,time_limit=3")
    state, _ = env.reset(jax.random.key(0))
    flags = []
    for action in (0, 1, 0):
        state, timestep = env.step(state, jnp.int32(action), jax.random.key(0))
        flags.append((bool(timestep.terminated), bool(timestep.truncated), float(timestep.reward)))
    assert flags == [(False, False, 1.0), (False, False, 1.0), (False, True, 1.0)]


@pytest.mark.parametrize("name", list(STATES))
def test_pictures_show_the_state(name):
    env = make(name)
    first, second = (env.reset(jax.random.key(seed))[0] for seed in (0, 1))
    picture = env.render(first)
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    assert (picture != env.render(second)).any()
