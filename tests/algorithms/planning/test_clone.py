"""Cloning: the teacher says what its search found, the network comes to say it, and a cut run is continued whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting.uct import uct
from puzzlebox.algorithms.planning.clone import Clone
from puzzlebox.envs import make
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.errors import UsageError
from puzzlebox.runs import checkpoint
from puzzlebox.runs.agents import Agents
from puzzlebox.runs.configure import configure

GAME = make("tic_tac_toe")
TINY = {"num_envs": 16, "num_steps": 6, "capacity": 1920, "learning_starts": 300, "batch_size": 128, "num_updates": 16}
TINY |= {"teacher_simulations": 30, "width": 32, "blocks": 1}
WON, OTHER = "0,3,1,4", "4,0,8"  # first a row to be completed with 2


@pytest.fixture(scope="module")
def agents():
    return Agents(Clone(GAME, **TINY), [0, 1], {})


def test_the_teacher_says_what_its_search_found():
    states, positions = jax.tree.map(lambda *x: jnp.stack(x), *(from_moves(GAME, moves) for moves in (WON, OTHER)))
    key = jax.random.key(7)
    found = jax.jit(Clone(GAME, **TINY | {"teacher_simulations": 200}).teach)(states, positions, jnp.zeros(2), key)
    visits, outcome = jax.jit(lambda key: uct(GAME, states, positions, key, 200))(key)
    np.testing.assert_array_equal(found.visits, visits)
    np.testing.assert_allclose(found.weights, visits / 200, rtol=1e-6)
    np.testing.assert_allclose(found.value, (visits * outcome).sum(-1) / 200, rtol=1e-5)
    np.testing.assert_array_equal(found.action, np.argmax(visits, axis=-1))
    assert int(found.action[0]) == 2
    assert not np.asarray(found.weights)[~np.asarray(positions.legal)].any()


def test_the_network_comes_to_say_what_the_teacher_says(agents):
    """Against saying nothing, policy and value are closer to the teacher's; a won position is seen by the network."""
    _, first = agents.advance({}, agents.start(), np.int32(5))
    state, last = agents.advance({}, agents.start(), np.int32(60))
    assert (last["policy_loss"] < first["policy_loss"]).all()
    _, position = from_moves(GAME, WON)
    logits, value = jax.vmap(lambda state: agents.algorithm.predict(state, position.observation))(state)
    assert np.argmax(np.where(position.legal, logits, -np.inf), axis=-1).tolist() == [2, 2]
    assert (np.asarray(value) > 0.5).all()


def test_training_continues_bit_for_bit_however_it_is_cut_and_saved(agents, tmp_path):
    whole, _ = agents.advance({}, agents.start(), np.int32(6))
    part, _ = agents.advance({}, agents.start(), np.int32(2))
    path = checkpoint.save(tmp_path, 192, part, {"steps": 192, "seconds": 0.0})
    loaded, _ = checkpoint.load(path, agents.shapes())
    loaded = jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), loaded, agents.start())
    rest, _ = agents.advance({}, loaded, np.int32(4))
    for a, b in zip(jax.tree.leaves(rest._replace(key=())), jax.tree.leaves(whole._replace(key=())), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(jax.random.key_data(rest.key), jax.random.key_data(whole.key))


@pytest.mark.parametrize(
    ("env", "options", "words"),
    [
        ("tic_tac_toe", {"teacher_simulations": 0}, "teacher_simulations is 0; it must be at least 1"),
        ("tic_tac_toe", {"capacity": 100}, "it must hold one iteration of 512 moves"),
        ("CartPole-v1", {}, "clone plays games with known rules"),
    ],
)
def test_bad_requests_are_told_in_a_line(env, options, words):
    with pytest.raises(UsageError, match=words) as error:
        configure("clone", env, 1, 0, options)
    assert "\n" not in str(error.value)
