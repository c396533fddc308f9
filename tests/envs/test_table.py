"""Tables read from Gymnasium's own tasks, entry by entry, and sampled in proportion."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs.check import check_environment
from puzzlebox.envs.table import Table, TableState, TableWorld, has_table, mdp_from_gymnasium, table_from_gymnasium
from puzzlebox.errors import UsageError
from puzzlebox.types import MDP

TASKS = ["FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "CliffWalkingSlippery-v1", "Taxi-v4"]


@pytest.mark.parametrize("name", TASKS)
def test_one_backup_equals_gymnasium_s_table(name):
    env = gymnasium.make(name)
    mdp = mdp_from_gymnasium(env)
    value = np.random.default_rng(0).normal(size=env.observation_space.n)
    ours = (mdp.probability * (mdp.reward + 0.9 * np.where(mdp.terminated, 0.0, value[mdp.next_state]))).sum(-1)
    for state, actions in env.unwrapped.P.items():
        for action, outcomes in actions.items():
            q = sum(p * (r + 0.9 * (0.0 if done else value[s])) for p, s, r, done in outcomes)
            assert ours[state, action] == pytest.approx(q, abs=1e-12)
    np.testing.assert_allclose(mdp.start, env.unwrapped.initial_state_distrib)


def test_equal_outcomes_are_merged():
    mdp = mdp_from_gymnasium(gymnasium.make("FrozenLake-v1"))
    # In the corner, west and north both bump: 2/3 stay, 1/3 goes down.
    assert (
        dict(zip(mdp.next_state[0, 0].tolist(), np.round(mdp.probability[0, 0], 6).tolist(), strict=True))[4]
        == 0.333333
    )
    assert sorted(np.round(mdp.probability[0, 0], 6)) == [0.0, 0.333333, 0.666667]


@pytest.mark.parametrize("name", ["FrozenLake-v1", "Taxi-v4"])
def test_worlds_keep_every_rule(name):
    check_environment(table_from_gymnasium(gymnasium.make(name)))


def test_the_time_limit_is_the_registered_one():
    assert table_from_gymnasium(gymnasium.make("FrozenLake-v1")).time_limit == 100
    assert table_from_gymnasium(gymnasium.make("CliffWalking-v1")).time_limit == 0


def test_layouts():
    lake = table_from_gymnasium(gymnasium.make("FrozenLake-v1")).layout
    assert lake == (("S...", ".H.H", "...H", "H..G"), "WSEN")
    cliff = table_from_gymnasium(gymnasium.make("CliffWalking-v1")).layout
    assert cliff.rows[3] == "SHHHHHHHHHHG"
    assert cliff.actions == "NESW"
    assert table_from_gymnasium(gymnasium.make("Taxi-v4")).layout is None


def test_outcomes_are_drawn_in_proportion_and_padding_never():
    mdp = MDP(
        next_state=np.array([[[1, 2, 3, 0]]] * 4, np.int32),
        probability=np.array([[[0.2, 0.5, 0.3, 0.0]]] * 4),
        reward=np.array([[[1.0, 2.0, 3.0, 99.0]]] * 4),
        terminated=np.array([[[False, False, True, False]]] * 4),
        start=np.array([0.0, 0.25, 0.0, 0.75]),
    )
    world = TableWorld(Table(mdp))
    keys = jax.random.split(jax.random.key(0), 50_000)
    state = TableState(jnp.int32(0), jnp.int32(0))
    timestep = jax.jit(jax.vmap(lambda key: world.step(state, jnp.int32(0), key)[1]))(keys)
    # Three standard deviations of a share of 0.5 among 50,000 are 0.0067.
    np.testing.assert_allclose(np.bincount(timestep.observation, minlength=4) / 50_000, [0, 0.2, 0.5, 0.3], atol=0.01)
    np.testing.assert_array_equal(timestep.reward, timestep.observation)
    np.testing.assert_array_equal(timestep.terminated, timestep.observation == 3)
    first = jax.jit(jax.vmap(lambda key: world.reset(key)[1]))(keys)
    np.testing.assert_allclose(np.bincount(first, minlength=4) / 50_000, [0, 0.25, 0, 0.75], atol=0.01)


def test_equal_tables_are_one_constant():
    first, second = (table_from_gymnasium(gymnasium.make("FrozenLake-v1")) for _ in range(2))
    other = table_from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=False))
    assert (first, hash(first)) == (second, hash(second))
    assert first != other


def test_tasks_without_a_whole_table_are_refused():
    for env in (gymnasium.make("CartPole-v1"), gymnasium.make("Taxi-v4", fickle_passenger=True)):
        assert not has_table(env)
        with pytest.raises(UsageError, match="does not publish"):
            mdp_from_gymnasium(env)
