"""What a world measures beside its reward is summed over episodes, logged and evaluated."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting.rollout import Choice, rollout, start, zero_actions
from puzzlebox.algorithms.deep.ppo import PPO
from puzzlebox.envs import make
from puzzlebox.envs.check import check_environment
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import PuzzleboxError
from puzzlebox.evaluation.world_evaluation import measured, play_episodes
from puzzlebox.runs.agents import Agents
from puzzlebox.types import Timestep


class Corridor:
    """Action 1 goes right; three steps right of the start is the goal; five steps are the time."""

    observation_space = gymnasium.spaces.Box(-10, 10, (1,))
    action_space = gymnasium.spaces.Discrete(2)
    random_step = False

    def __init__(self, kind=jnp.float32):
        self.kind = kind

    def reset(self, key):
        return (jnp.int32(0), jnp.int32(0)), jnp.zeros(1)

    def step(self, state, action, key):
        place, time = state[0] + action, state[1] + 1
        terminated = place >= 3
        measures = {"success": terminated.astype(self.kind), "places": action.astype(self.kind)}
        observation = place.astype(jnp.float32)[None]
        return (place, time), Timestep(observation, jnp.float32(-1), terminated, ~terminated & (time >= 5), measures)


def test_measures_are_summed_over_each_episode():
    env = vectorize(Corridor(), 2)
    worlds = start(env, jax.random.key(0))
    assert set(worlds.episode_measures) == {"success", "places"}

    def act(observation, key):  # the first world goes right, the second stays
        return Choice(jnp.array([1, 0]), jnp.zeros(2))

    worlds, trajectory, metrics = jax.jit(lambda w: rollout(act, env, w, 7, jax.random.key(1)))(worlds)
    # the first ended twice at the goal (3 places each), the second once by time (0 places)
    assert metrics["success"] == pytest.approx(2 / 3) and metrics["places"] == pytest.approx(2)
    assert metrics["episode_length"] == pytest.approx(11 / 3) and metrics["episode_return"] == pytest.approx(-11 / 3)
    np.testing.assert_array_equal(worlds.episode_measures["places"], [1, 0])
    assert trajectory.extras == {}


def test_extras_of_the_choice_and_of_what_followed_are_kept():
    env = vectorize(Corridor(), 2)

    def act(observation, key):
        return Choice(jnp.array([1, 0]), jnp.array([-1.0, -2.0]), {"twice": 2 * observation[:, 0]})

    def look(timestep):
        return {"later": timestep.observation[:, 0]}

    trajectory = rollout(act, env, start(env, jax.random.key(0)), 4, jax.random.key(1), look)[1]
    np.testing.assert_array_equal(trajectory.log_prob, [[-1, -2]] * 4)
    np.testing.assert_array_equal(trajectory.extras["twice"], [[0, 0], [2, 0], [4, 0], [0, 0]])
    np.testing.assert_array_equal(trajectory.extras["later"], [[1, 0], [2, 0], [3, 0], [1, 0]])
    np.testing.assert_array_equal(trajectory.next_observation[..., 0], trajectory.extras["later"])


class Screen(Corridor):
    """The same corridor on a screen of 40,000 bytes."""

    observation_space = gymnasium.spaces.Box(0, 255, (100, 100, 4), np.uint8)

    def reset(self, key):
        state, _ = super().reset(key)
        return state, jnp.zeros((100, 100, 4), jnp.uint8)

    def step(self, state, action, key):
        state, timestep = super().step(state, action, key)
        screen = jnp.full((100, 100, 4), state[0], jnp.uint8)
        return state, timestep._replace(observation=screen)


def test_a_leaf_that_nobody_reads_is_not_stored():
    env, steps = vectorize(Screen(), 2), 50

    def act(observation, key):
        return Choice(observation[:, 0, 0, 0].astype(jnp.int32) % 2, jnp.zeros(2))

    def memory(*names):
        def program(worlds):
            trajectory = rollout(act, env, worlds, steps, jax.random.key(1))[1]
            return [getattr(trajectory, name) for name in names]

        compiled = jax.jit(program).lower(start(env, jax.random.key(0))).compile().memory_analysis()
        return compiled.temp_size_in_bytes + compiled.output_size_in_bytes

    screens = steps * 2 * 40_000
    assert memory("reward") < 0.2 * screens
    assert memory("reward", "next_observation") > screens


@pytest.mark.parametrize(
    ("space", "shape", "dtype"),
    [
        (gymnasium.spaces.Discrete(5), (2,), jnp.int32),
        (gymnasium.spaces.Box(-1, 1, (3,)), (2, 3), jnp.float32),
        (gymnasium.spaces.MultiDiscrete([2, 5]), (2, 2), jnp.int32),
        (gymnasium.spaces.MultiBinary(4), (2, 4), jnp.int8),
    ],
)
def test_actions_have_shape_and_type_of_the_space(space, shape, dtype):
    world = Corridor()
    world.action_space = space
    action = zero_actions(vectorize(world, 2))
    assert (action.shape, action.dtype) == (shape, dtype)


def test_without_measures_the_state_has_no_further_leaves():
    worlds = start(vectorize(make("CartPole-v1"), 3), jax.random.key(0))
    assert worlds.episode_measures == {}
    assert len(jax.tree.leaves(worlds)) == len(jax.tree.leaves(worlds._replace(episode_measures=None)))


def test_evaluation_tells_measures_and_success():
    agents = Agents(PPO(Corridor(), num_envs=2, num_steps=4, steps=8, num_minibatches=1), [0, 1], {})
    state = agents.start()
    flat = jax.tree.map(jnp.zeros_like, state.nets.actor)
    prefers = jnp.array([[0.0, 1.0], [1.0, 0.0]])  # agent 0 goes right, agent 1 stays
    actor = eqx.tree_at(lambda actor: actor.net.biases[-1], flat, prefers)
    state = eqx.tree_at(lambda state: state.nets.actor, state, actor)
    played = play_episodes(agents, state, greedy=True, episodes=4, seed=0)
    np.testing.assert_array_equal(played.measures["success"], [[1] * 4, [0] * 4])
    np.testing.assert_array_equal(played.lengths, [[3] * 4, [5] * 4])
    np.testing.assert_array_equal(played.returns, [[-3] * 4, [-5] * 4])
    assert measured(played.measures) == {"success_rate": 0.5, "measures": {"success": 0.5, "places": 1.5}}
    assert played.cut == 0


def test_the_checker_reads_measures():
    check_environment(Corridor(), steps=20)
    with pytest.raises(PuzzleboxError, match=r"measure|success|places"):
        check_environment(Corridor(jnp.int32), steps=20)
