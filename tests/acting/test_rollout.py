"""What a world measures beside its reward is summed over episodes, logged and evaluated."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting.rollout import rollout, start
from puzzlebox.algorithms.deep.ppo import PPO
from puzzlebox.envs import make
from puzzlebox.envs.check import check_environment
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import PuzzleboxError
from puzzlebox.evaluation.evaluate import measured, play_episodes
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
        return jnp.array([1, 0]), jnp.zeros(2)

    worlds, trajectory, metrics = jax.jit(lambda w: rollout(act, env, w, 7, jax.random.key(1)))(worlds)
    # the first ended twice at the goal (3 places each), the second once by time (0 places)
    assert metrics["success"] == pytest.approx(2 / 3) and metrics["places"] == pytest.approx(2)
    assert metrics["episode_length"] == pytest.approx(11 / 3) and metrics["episode_return"] == pytest.approx(-11 / 3)
    np.testing.assert_array_equal(worlds.episode_measures["places"], [1, 0])
    assert trajectory._fields[-1] == "mask"


def test_without_measures_the_state_has_no_further_leaves():
    worlds = start(vectorize(make("CartPole-v1"), 3), jax.random.key(0))
    assert worlds.episode_measures == {}
    assert len(jax.tree.leaves(worlds)) == len(jax.tree.leaves(worlds._replace(episode_measures=None)))


def test_evaluation_tells_measures_and_success():
    agents = Agents(PPO(Corridor(), num_envs=2, num_steps=4, steps=8, num_minibatches=1), [0, 1], {})
    state = agents.start()
    flat = jax.tree.map(jnp.zeros_like, state.nets[0])
    prefers = jnp.array([[0.0, 1.0], [1.0, 0.0]])  # agent 0 goes right, agent 1 stays
    actor = eqx.tree_at(lambda actor: actor.net.biases[-1], flat, prefers)
    played = play_episodes(agents, state._replace(nets=(actor, state.nets[1])), greedy=True, episodes=4, seed=0)
    np.testing.assert_array_equal(played.measures["success"], [[1] * 4, [0] * 4])
    np.testing.assert_array_equal(played.lengths, [[3] * 4, [5] * 4])
    np.testing.assert_array_equal(played.returns, [[-3] * 4, [-5] * 4])
    assert measured(played.measures) == {"success_rate": 0.5, "measures": {"success": 0.5, "places": 1.5}}
    assert played.cut == 0


def test_the_checker_reads_measures():
    check_environment(Corridor(), steps=20)
    with pytest.raises(PuzzleboxError, match=r"measure|success|places"):
        check_environment(Corridor(jnp.int32), steps=20)
