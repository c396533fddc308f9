"""What happened along an episode by hand, and that predictions stand beside the steps they speak of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.planning.muzero import MuZero
from puzzlebox.envs import make, probes
from puzzlebox.ops.two_hot import expected_value
from puzzlebox.pictures import predictions

SMALL = {"num_simulations": 2, "unroll_steps": 2, "width": 4, "hidden": (8,), "num_bins": 5, "capacity": 4000}


def untrained(env, **values):
    agent = MuZero(env, **SMALL | values)
    return agent, jax.jit(agent.init)(jax.random.key(0))


def test_a_delayed_reward_is_drawn_where_it_is_paid():
    agent, state = untrained(probes.DelayedReward(), discount=0.8)
    happened = predictions.play_episode(agent, state, 0)
    np.testing.assert_array_equal(happened.reward, [0, 1])
    np.testing.assert_allclose(happened.value, [0.8, 1])
    np.testing.assert_allclose(happened.policy, [1, 1])
    np.testing.assert_array_equal(happened.observation, [[0], [1]])


def test_players_of_a_game_see_opposite_values():
    agent, state = untrained(make("tic_tac_toe"), discount=1.0)
    happened = predictions.play_episode(agent, state, 3)
    assert 5 <= len(happened.action) <= 9
    assert len(set(happened.action.tolist())) == len(happened.action)  # no cell is taken twice
    winner = happened.reward[-1]
    assert winner in (0, 1)
    signs = (-1.0) ** np.arange(len(happened.action))[::-1]
    np.testing.assert_array_equal(happened.value, winner * signs)


@pytest.mark.parametrize(("world", "network"), [("CartPole-v1", "mlp"), ("connect_four", "conv")])
def test_predictions_are_the_models_own_steps(world, network):
    agent, state = untrained(make(world), discount=0.9, network=network)
    happened = predictions.play_episode(agent, state, 0)
    predicted = predictions.predict(agent, state, happened)
    length = len(happened.action)
    assert {len(column) for column in predicted} == {length}
    np.testing.assert_array_equal(predicted.imagined, np.arange(length) % 2)
    net, seen = state.net, jnp.asarray(happened.observation[4], jnp.float32)
    first = net.represent(seen)
    second, reward = net.advance(first, jnp.asarray(happened.action[4]))
    np.testing.assert_allclose(predicted.reward[4], expected_value(reward, agent.value_limit), rtol=1e-4)
    np.testing.assert_allclose(predicted.value[4], expected_value(net.predict(first)[1], agent.value_limit), rtol=1e-4)
    policy, value = net.predict(second)
    np.testing.assert_allclose(predicted.value[5], expected_value(value, agent.value_limit), rtol=1e-4)
    np.testing.assert_allclose(predicted.policy[5], jax.nn.softmax(policy)[happened.action[5]], rtol=1e-4)


def test_the_picture():
    rng = np.random.default_rng(0)
    happened = predictions.Happened(np.zeros((9, 1)), np.zeros(9, int), *rng.random((3, 9)))
    predicted = predictions.Predicted(*rng.random((3, 9)), np.arange(9) % 3)
    figure = predictions.draw_predictions(happened, predicted, "title")
    panels = figure.axes
    assert [axes.get_ylabel() for axes in panels] == ["reward", "return", "probability of\nthe action taken"]
    for axes, name in zip(panels, ("reward", "value", "policy"), strict=True):
        line, imagined, seen = axes.get_lines()
        np.testing.assert_array_equal(line.get_ydata(), getattr(happened, name))
        np.testing.assert_array_equal(seen.get_xdata(), [0, 3, 6])
        np.testing.assert_array_equal(imagined.get_ydata(), getattr(predicted, name)[[1, 2, 4, 5, 7, 8]])
