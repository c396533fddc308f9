"""Grids: moves, rewards and slipping counted by hand; maps that are malformed."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.check import check_environment
from puzzlebox.envs.gridworld import GridState, from_file, from_text, slippery
from puzzlebox.errors import UsageError

NORTH, EAST, SOUTH, WEST = range(4)


def move(env, cell, action, seed=0, time=0):
    state = GridState(jnp.int32(cell), jnp.int32(time))
    return eqx.filter_jit(env.step)(state, jnp.int32(action), jax.random.key(seed))[1]


@pytest.mark.parametrize("name", ["grid/robot", "grid/toy", "grid/toy,slip=0.2", "grid/maze"])
def test_the_course_worlds_keep_every_rule(name):
    check_environment(make(name))


def test_moves_walls_and_edges():
    env = from_text("S.\n#G")
    assert [int(move(env, 0, a).observation) for a in range(4)] == [0, 1, 0, 0]
    assert [int(move(env, 1, a).observation) for a in range(4)] == [1, 1, 3, 0]


def test_goal_and_hole_pay_instead_of_the_step_and_end():
    robot = make("grid/robot")  # row 0: ....G, row 1: .##H.
    floor, goal, hole = move(robot, 2, EAST), move(robot, 3, EAST), move(robot, 3, SOUTH)
    assert (float(floor.reward), bool(floor.terminated)) == (-1.0, False)
    assert (float(goal.reward), bool(goal.terminated)) == (100.0, True)
    assert (float(hole.reward), bool(hole.terminated)) == (-50.0, True)


def test_the_time_limit_truncates_and_an_end_is_no_truncation():
    env = make("grid/robot,time_limit=5")
    assert bool(move(env, 0, WEST, time=4).truncated)
    assert not bool(move(env, 0, WEST, time=3).truncated)
    at_goal = move(env, 3, EAST, time=4)
    assert bool(at_goal.terminated)
    assert not bool(at_goal.truncated)
    assert not bool(move(make("grid/robot,time_limit=0"), 0, WEST, time=10**6).truncated)


def test_slip_goes_sideways_half_to_each_side():
    env = from_text("...\n...\n..G")
    env = eqx.tree_at(lambda e: e.slip, env, 0.3)
    step = eqx.filter_jit(eqx.filter_vmap(env.step, in_axes=(None, None, 0)))
    state = GridState(jnp.int32(4), jnp.int32(0))
    cells = step(state, jnp.int32(NORTH), jax.random.split(jax.random.key(1), 20_000))[1].observation
    shares = np.bincount(np.asarray(cells), minlength=9) / 20_000
    # Three standard deviations of a share of 0.15 among 20,000 are 0.0076.
    np.testing.assert_allclose(shares[[1, 3, 5]], [0.7, 0.15, 0.15], atol=0.01)
    mdp = env.mdp()
    np.testing.assert_array_equal(mdp.next_state[4, NORTH], [1, 5, 3])
    np.testing.assert_allclose(mdp.probability[4, NORTH], [0.7, 0.15, 0.15])


def test_the_table_agrees_with_the_steps():
    env = make("grid/toy")
    mdp = env.mdp()
    for cell in (0, 1, 2, 4, 6, 8, 9, 10, 11):
        for action in range(4):
            timestep = move(env, cell, action)
            assert int(timestep.observation) == mdp.next_state[cell, action, 0]
            assert float(timestep.reward) == pytest.approx(mdp.reward[cell, action, 0])
            assert bool(timestep.terminated) == mdp.terminated[cell, action, 0]


def test_starts():
    toy, robot = make("grid/toy"), make("grid/robot")
    assert np.flatnonzero(toy.mdp().start).tolist() == [8]
    free = [0, 1, 2, 3, 5, 9, 10, 11, 12, 13, 14, 15, 17, 19, 20, 21, 22, 23, 24]
    assert np.flatnonzero(robot.mdp().start).tolist() == free
    seen = jax.vmap(robot.reset)(jax.random.split(jax.random.key(0), 2000))[1]
    assert np.unique(seen).tolist() == free
    assert np.count_nonzero(make("grid/toy,random_start=true").mdp().start) == 9


def test_goal_hole_and_wall_are_worth_nothing():
    mdp = make("grid/toy").mdp()
    for cell in (3, 5, 7):
        assert mdp.terminated[cell].all()
        assert not mdp.reward[cell].any()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("S.\n.X\n.G", r"line 2, column 2: 'X'"),
        ("S..\n.G", "line 2 has 2 cells; the first row has 3"),
        ("S..", "no goal"),
        ("G##", "no free cell"),
    ],
)
def test_malformed_maps_name_the_place(text, words):
    with pytest.raises(UsageError, match=words):
        from_text(text)


def test_maps_from_files(tmp_path):
    path = tmp_path / "map.txt"
    path.write_text("S.G\n..H\n")
    assert from_file(path).rows == ("S.G", "..H")
    assert make(f"grid:{path},step_reward=-3").step_reward == -3.0
    with pytest.raises(UsageError, match=r"no-such\.txt"):
        from_file(tmp_path / "no-such.txt")


def test_bad_options():
    with pytest.raises(UsageError, match=r"slip is 1\.5"):
        make("grid/toy,slip=1.5")
    with pytest.raises(UsageError, match="step_reward"):
        make("grid/toy,step_rewrd=1")


def test_generated_grids_repeat():
    assert slippery(20).rows == slippery(20).rows
    assert slippery(20).rows != slippery(20, seed=1).rows
