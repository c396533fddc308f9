"""The platformer: what it pays and when it ends, its two views, its levels; all by scripted play."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.check import check_environment
from puzzlebox.envs.platformer import physics, world
from puzzlebox.envs.platformer.levels import LENGTH, MAPS, NOWHERE, read_level
from puzzlebox.envs.platformer.state import enemies_at
from puzzlebox.envs.six_terms import TERMS
from puzzlebox.errors import UsageError

STAND, LEFT, RIGHT, JUMP, LEFT_JUMP, RIGHT_JUMP = range(6)


def script(env, actions):
    """The states and timesteps of a list of (action, decisions), leaves [T, ...]."""
    chosen = jnp.array([action for action, times in actions for _ in range(times)], jnp.int32)
    state, _ = env.reset(jax.random.key(0))

    def step(state, action):
        state, timestep = env.step(state, action, jax.random.key(0))
        return state, (state, timestep)

    return jax.tree.map(np.asarray, jax.jit(lambda s, c: jax.lax.scan(step, s, c)[1])(state, chosen))


def drawn(*rows, **options):
    """A world on a level of our own."""
    name = "\n".join(rows)
    MAPS.setdefault(name, rows)
    return dataclasses.replace(world.Platformer(name), **options)


def test_it_is_a_sound_world_for_those_who_look_at_the_screen_too():
    check_environment(make("platformer/level-1,view=screen,time_limit=10,lives=2"), steps=25, num_envs=2)


def test_speed_and_way_by_hand():
    env = drawn("S" + "." * 40 + "G", "#" * 42)
    states, timestep = script(env, [(RIGHT, 10), (STAND, 10)])
    # one second at 6 tiles/s² in 40 substeps: v = 6 t, x = Σ 6 (i/40) (1/40) = 6 · 820/1600
    assert states.body.speed[9] == pytest.approx(6.0, abs=1e-4)
    assert states.body.x[9] == pytest.approx(0.5 + 6 * 820 / 1600, abs=1e-3)
    # friction 7 tiles/s² stops it after 6/7 s, that is within 9 decisions
    assert states.body.speed[18] == 0 and states.body.x[18] == states.body.x[19]
    assert timestep.measures["furthest_x"].sum() == pytest.approx(states.body.x[-1] - 0.5, abs=1e-4)
    assert timestep.measures["distance"].sum() == pytest.approx(states.body.x[-1] - 0.5, abs=1e-4)


def test_the_reward_is_the_sum_of_its_terms_and_each_is_paid_by_hand():
    env = drawn("." * 20, "S.o" + "." * 6 + "oG" + "." * 9, "#" * 20)
    env = dataclasses.replace(
        env, weights=dataclasses.replace(env.weights, progress=1.0, speed=0.1, new_area=2.0, rings=5.0, complete=100.0)
    )
    states, timestep = script(env, [(RIGHT, 12), (LEFT, 4), (RIGHT, 20)])
    end = int(np.argmax(timestep.terminated)) + 1
    paid = {name: timestep.measures[name][:end].sum() for name in TERMS}
    np.testing.assert_allclose(timestep.reward, sum(timestep.measures[name] for name in TERMS), atol=1e-5)
    x = states.body.x[end - 1]
    assert paid["progress"] == pytest.approx(x - 0.5, abs=1e-4)
    assert paid["new_area"] == 2.0 * 2  # parts of 4 tiles: 0.5 is in the first, the goal at 10.5 in the third
    assert paid["rings"] == 10.0 and paid["complete"] == 100.0 and paid["life_lost"] == 0
    assert timestep.measures["success"][:end].sum() == 1
    assert paid["speed"] == pytest.approx(0.1 * np.abs(np.diff(np.append(0.5, states.body.x[:end]))).sum(), abs=1e-4)


def test_to_and_fro_is_counted():
    env = drawn("." * 5 + "S" + "." * 5 + "G", "#" * 12)
    _, timestep = script(env, [(RIGHT, 4), (LEFT, 8), (RIGHT, 8), (LEFT, 8)])
    assert timestep.measures["turns"].sum() == 3
    assert timestep.measures["distance"].sum() > 4 * timestep.measures["furthest_x"].sum() / 2


def test_a_wall_needs_a_run_up():
    near = drawn("." * 16 + "G", *["." * 14 + "|##"] * 4, "." * 11 + "S..|##", "#" * 17)
    states, _ = script(near, [(RIGHT, 40)])
    assert states.body.y.max() < 5 and states.body.x.max() < 15  # slides back
    jumped, _ = script(near, [(RIGHT_JUMP, 40)])
    assert jumped.body.x.max() < 15
    states, timestep = script(near, [(LEFT, 14), (RIGHT, 40)])
    assert timestep.measures["success"].sum() >= 1
    # ½v² = SLOPE_GRAVITY · height at the foot
    foot = np.flatnonzero((states.body.x < 14) & (states.body.speed > 0))[-1]
    assert states.body.speed[foot + 1 :].max() > 0
    assert 0.5 * states.body.speed[foot] ** 2 > physics.SLOPE_GRAVITY * 5 - 2


def test_a_loop_needs_speed_and_energy_is_kept():
    rows = ("." * 22, "." * 16 + "O" + "...G.", "#" * 22)
    slow = drawn(*rows[:1], rows[1].replace("..............O", "............S.O"), rows[2])
    states, timestep = script(slow, [(RIGHT, 25)])
    assert states.body.arc.max() > 0 and timestep.measures["success"].sum() == 0
    fast = drawn(*rows[:1], "S" + rows[1][1:], rows[2])
    states, timestep = script(fast, [(RIGHT, 45)])
    assert timestep.measures["success"].sum() >= 1
    inside = states.body.arc > 0
    height = physics.RADIUS * (1 - np.cos(states.body.arc[inside] / physics.RADIUS))
    energy = 0.5 * states.body.speed[inside] ** 2 + physics.SLOPE_GRAVITY * height
    assert np.ptp(energy) < 0.06 * energy.mean()


def test_a_jump_by_hand():
    env = drawn(*["." * 12] * 4, "S" + "." * 10 + "G", "#" * 12)
    states, _ = script(env, [(JUMP, 1), (STAND, 12)])
    top = 1 + physics.JUMP**2 / (2 * physics.GRAVITY)
    assert top - 0.5 < states.body.y.max() < top + 0.2
    assert states.body.grounded[-1] and states.body.y[-1] == 1


def test_a_pit_takes_a_life_and_the_episode_ends_with_the_last():
    rows = ("S" + "." * 7 + "G", "###...###")
    states, timestep = script(drawn(*rows), [(RIGHT, 40)])
    end = int(np.argmax(timestep.terminated))
    assert timestep.terminated[end] and timestep.measures["life_lost"][end] == -1
    assert timestep.measures["success"].sum() == 0
    states, timestep = script(drawn(*rows, lives=2), [(RIGHT, 40)])
    first = int(np.argmax(timestep.measures["life_lost"] < 0))
    assert not timestep.terminated[first] and states.lives[first] == 1
    assert states.body.x[first] == 0.5 and states.body.speed[first] == 0


def test_enemies_hurt_from_the_side_and_are_beaten_from_above():
    rows = ("." * 12, "." * 12, "...S..e....G", "#" * 12)
    _, timestep = script(drawn(*rows), [(STAND, 60)])
    assert timestep.terminated.any() and timestep.measures["life_lost"].sum() < 0
    with_ring = drawn(*rows[:2], "So....e....G", rows[3])
    states, timestep = script(with_ring, [(RIGHT, 6), (STAND, 90)])
    hit = int(np.argmax(timestep.measures["rings"] < 0))
    assert states.rings[hit] == 0 and states.lives[hit] == 1 and states.safe[hit] == world.SAFE
    state, _ = drawn(*rows).reset(jax.random.key(0))
    enemy_x, enemy_y, _ = enemies_at(drawn(*rows).level(), jnp.int32(1))
    above = state.body._replace(x=enemy_x[0], y=enemy_y[0] + 1.0, rising=jnp.float32(-6), grounded=jnp.bool_(False))
    state, timestep = drawn(*rows).step(state._replace(body=above), jnp.int32(STAND), jax.random.key(0))
    assert state.beaten[0] and state.body.rising > 0 and not timestep.terminated


def test_platforms_carry_from_above_and_let_through_from_below():
    env = drawn("." * 9, "." * 9, "...===...", "S.......G", "#########")
    states, _ = script(env, [(RIGHT, 9), (STAND, 8), (JUMP, 1), (STAND, 12)])
    assert 3 < states.body.x[-1] < 6 and states.body.y[-1] == 3 and states.body.grounded[-1]
    assert states.body.y[:17].max() == 1


def test_time_is_up():
    _, timestep = script(make("platformer/level-1,time_limit=5"), [(STAND, 5)])
    assert timestep.truncated.tolist() == [False] * 4 + [True] and not timestep.terminated.any()


def test_four_pictures_show_motion():
    states, _ = script(make("platformer/level-1,view=screen"), [(LEFT, 8)])
    assert states.screen.shape == (8, 84, 84, 4) and states.screen.dtype == np.uint8
    np.testing.assert_array_equal(states.screen[7][..., :3], states.screen[6][..., 1:])
    assert (states.screen[7][..., 3] != states.screen[7][..., 0]).any()
    darkest = np.argwhere(states.screen[7][..., 3] == 0).mean(0)  # the body: on the ground, row 1.5 tiles above it
    assert darkest[0] == pytest.approx(84 - 6 * 2.5, abs=1)


def test_the_picture_for_people():
    env = make("platformer/level-1")
    state, _ = env.reset(jax.random.key(0))
    picture = env.render(state)
    assert picture.shape == (240, 360, 3) and picture.dtype == np.uint8
    moved = env.render(state._replace(body=state.body._replace(x=jnp.float32(40.0))))
    assert (picture != moved).mean() > 0.1


def test_maps_are_read_column_by_column():
    level = read_level(("..o....", ".==..|.", "S../\\|G", "##.####"))
    np.testing.assert_array_equal(level.left[:7], [1, 1, NOWHERE, 1, 2, 1, 1])
    np.testing.assert_array_equal(level.right[:7], [1, 1, NOWHERE, 2, 1, 3, 1])
    np.testing.assert_array_equal(level.platform[:4], [NOWHERE, 3, 3, NOWHERE])
    assert level.ring[2] == 3.5 and len(level.left) == LENGTH and level.start.tolist() == [0.5, 1]
    assert level.goal == 6.5 and (level.enemies == NOWHERE).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("S.G", "####"), "rows of one length"),
        (("S..", "###"), "one goal G"),
        (("SxG", "###"), "column 2 of the level has 'x'"),
        ((".o.", "SoG", "###"), "column 2 of the level has 'oo'"),
        (("e" * 11 + "SG", "#" * 13), "at most 10 enemies"),
    ],
)
def test_a_map_that_cannot_be_read(rows, message):
    with pytest.raises(UsageError, match=message):
        read_level(rows)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("platformer/level-4", "did you mean platformer/level"),
        ("platformer/level-1,progress=fast", "progress is 'fast'; it must be a number"),
        ("platformer/level-1,rings=nan", "rings is nan; a weight of the reward must be a finite number"),
        ("platformer/level-1,ring=1", "did you mean rings"),
        ("platformer/level-1,view=radar", "view is 'radar'"),
        ("platformer/level-1,lives=0", "lives is 0; it must be at least 1"),
        ("platformer/level-1,seed=3", "seeds are for platformer/random"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(UsageError, match=message):
        make(name)
