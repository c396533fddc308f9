"""What is drawn from a replay of single frames or of steps is what a plain list of everything seen says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.data import frames, transitions
from puzzlebox.data.experience import Experience
from puzzlebox.types import Trajectory

STACK, SIDE, WORLDS, ROWS, BLOCK = 3, 2, 2, 12, 4
DISCOUNT = 0.5
STACKS, ACTIONS = jnp.zeros((WORLDS, SIDE, SIDE, STACK), jnp.uint8), jnp.zeros(WORLDS, jnp.int32)


def play(filling, num_steps=28, seed=0):
    """Every world's steps one after the other: stack, action, reward, terminated, truncated, next stack, first."""
    generator = np.random.default_rng(seed)
    worlds = []
    for world in range(WORLDS):
        steps, stack, number = [], None, 1
        for time in range(num_steps):
            first = stack is None
            if first:
                frame = np.full((SIDE, SIDE, 1), number + 100 * world, np.uint8)
                before = np.repeat(frame * (filling == "copies"), STACK - 1, axis=-1)
                if filling == "lives" and steps:
                    before = steps[-1][0][..., 1:]
                stack, number = np.concatenate([before, frame], axis=-1), number + 1
            after = np.concatenate([stack[..., 1:], np.full((SIDE, SIDE, 1), number + 100 * world, np.uint8)], axis=-1)
            number += 1
            ends = generator.random() < 0.3
            terminated = ends and generator.random() < 0.5
            truncated = ends and not terminated
            reward = float(generator.integers(1, 9))
            steps.append((stack, time % 5, reward, terminated, truncated, after, first))
            stack = None if ends else after
        worlds.append(steps)
    return worlds


def block(worlds, begin):
    """Rows ``begin … begin + BLOCK − 1`` of all worlds as `rollout` gives them, and whether each is a first one."""
    columns = [
        np.array([[worlds[b][t][i] for b in range(WORLDS)] for t in range(begin, begin + BLOCK)]) for i in range(7)
    ]
    seen, action, reward, terminated, truncated, after, first = columns
    nothing = np.ones_like(terminated)
    trajectory = Trajectory(
        seen, action.astype(np.int32), reward, reward.astype(np.float32), terminated, truncated, after, nothing
    )
    return jax.tree.map(jnp.asarray, trajectory), jnp.asarray(first)


def expected(steps, t, n, newest, stop_before_cut):
    """(reward, γ^m, m, terminated, next stack) of the n-step return from row t, as the definition says."""
    total, power, length = 0.0, 1.0, 0
    for k in range(n):
        if t + k > newest:
            break
        _, _, reward, terminated, truncated, after, _ = steps[t + k]
        if truncated and stop_before_cut:
            return total, power, length, False, steps[t + k][0]
        total, power, length = total + power * reward, power * DISCOUNT, length + 1
        if terminated or truncated:
            break
    return total, power, length, terminated, after


def read(function, memory, whole, *settings):
    """((t, world), what is drawn there) for every row in ``whole``, padded to one shape for the compiler."""
    places = [(t, world) for t in whole for world in range(WORLDS)]
    place = np.zeros(ROWS * WORLDS, np.int32)
    place[: len(places)] = [t % ROWS * WORLDS + world for t, world in places]
    program = jax.jit(function, static_argnums=tuple(range(2, 2 + len(settings))))
    drawn = jax.device_get(program(memory, place, *settings))
    return [(where, jax.tree.map(lambda x, i=i: x[i], drawn)) for i, where in enumerate(places)]


@pytest.mark.parametrize("filling", ["zeros", "copies", "lives"])
@pytest.mark.parametrize("n", [1, 3])
def test_frames_are_stacked_as_they_were_seen(filling, n):
    worlds = play(filling)
    memory = frames.empty(STACKS, ACTIONS, ROWS, STACK)
    checked = 0
    for begin in range(0, 28, BLOCK):
        memory = frames.add(memory, *block(worlds, begin), STACK)
        newest = begin + BLOCK - 1
        oldest = max(newest + 1 - ROWS, 0)
        whole = range(oldest + STACK - 1, newest + 1 - n)
        for (t, world), sample in read(frames.read, memory, whole, n, DISCOUNT, STACK):
            reward, power, length, terminated, after = expected(worlds[world], t, n, newest, True)
            np.testing.assert_array_equal(sample.observation, worlds[world][t][0])
            assert sample.action == t % 5
            assert sample.weight == (length > 0)
            if length:
                assert (sample.reward, sample.discount, sample.terminated) == (reward, power, terminated)
                if not terminated:
                    np.testing.assert_array_equal(sample.next_observation, after)
                checked += 1
    assert checked > 50


def test_every_whole_row_is_drawn_and_no_other():
    margins = frames.margins(STACK, 2)
    worlds = play("zeros")
    memory = frames.empty(STACKS, ACTIONS, ROWS, STACK)
    for begin in range(0, 24, BLOCK):
        memory = frames.add(memory, *block(worlds, begin), STACK)
        if begin == 0:
            continue  # no row has all that it needs
        place = np.unique(frames.draw_places(memory, jax.random.key(0), (2_000,), margins))
        oldest = max(begin + BLOCK - ROWS, 0)
        rows = [t % ROWS for t in range(oldest + STACK - 1, begin + BLOCK - 2)]
        np.testing.assert_array_equal(place, sorted(r * WORLDS + b for r in rows for b in range(WORLDS)))


def test_a_resumed_run_whose_worlds_start_anew_mixes_no_episodes():
    worlds = play("copies")
    memory = frames.empty(STACKS, ACTIONS, ROWS, STACK)
    trajectory, first = block(worlds, 0)
    quiet = jnp.zeros_like(first)
    memory = frames.add(memory, trajectory._replace(terminated=quiet, truncated=quiet), quiet.at[0].set(True), STACK)
    memory = frames.add(memory, trajectory._replace(terminated=quiet, truncated=quiet), quiet.at[0].set(True), STACK)
    last = jnp.array([(BLOCK - 1) * WORLDS, (BLOCK - 2) * WORLDS])
    sample = frames.read(memory, last, 2, DISCOUNT, STACK)
    assert sample.weight.tolist() == [0, 1]
    assert sample.discount[1] == DISCOUNT  # one step, not two


@pytest.mark.parametrize("n", [1, 3])
def test_steps_are_read_as_they_were_taken(n):
    worlds = play("zeros")
    memory = transitions.empty(STACKS, ACTIONS, ROWS)
    for begin in range(0, 28, BLOCK):
        memory = transitions.add(memory, *block(worlds, begin))
        newest = begin + BLOCK - 1
        whole = range(max(newest + 1 - ROWS, 0), newest + 1)
        for (t, world), sample in read(transitions.read, memory, whole, n, DISCOUNT):
            reward, power, _, terminated, after = expected(worlds[world], t, n, newest, False)
            assert (sample.reward, sample.discount, sample.terminated) == (reward, power, terminated)
            np.testing.assert_array_equal(sample.next_observation, after)
            np.testing.assert_array_equal(sample.observation, worlds[world][t][0])


def box(t, world):
    return np.array([t + world / 8, -t, 0.1 * t], np.float32)


def multi_discrete(t, world):
    return np.array([t, world], np.int32)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("stack", [0, STACK])
@pytest.mark.parametrize("action", [box, multi_discrete])
def test_actions_of_any_shape_and_type_are_drawn_as_they_were_taken(action, stack, n):
    worlds, time = play("zeros"), np.arange(28)
    taken = np.array([[action(t, world) for world in range(WORLDS)] for t in time])
    experience = Experience(ROWS, WORLDS, n, stack, prioritised=False)
    past = experience.empty(STACKS, jnp.zeros_like(taken[0]))
    for begin in range(0, 28, BLOCK):
        trajectory, first = block(worlds, begin)
        past = experience.add(past, trajectory._replace(action=jnp.asarray(taken[begin : begin + BLOCK])), first)
    draws = experience.prepare_draws(past, jax.random.key(0), (1, 200))
    place, sample = experience.draw(past, draws[0], 200, DISCOUNT, 0.0)
    assert sample.action.dtype == taken.dtype
    newest = {t % ROWS: t for t in time}
    for i, (row, world) in enumerate(zip(*np.divmod(place, WORLDS), strict=True)):
        t = newest[row]
        np.testing.assert_array_equal(sample.action[i], taken[t, world])
        reward, power, length, *_ = expected(worlds[world], t, n, 27, stop_before_cut=stack > 0)
        assert (sample.reward[i], sample.discount[i], sample.weight[i]) == (reward, power, length > 0)


def test_numbers_that_the_replay_cannot_hold_are_refused():
    trajectory, first = block(play("zeros"), 0)
    fractions = trajectory._replace(action=trajectory.action + 0.5)
    with pytest.raises(TypeError, match="replay of int32 cannot hold float32"):
        transitions.add(transitions.empty(STACKS, ACTIONS, ROWS), fractions, first)


def test_a_million_frames_fit():
    examples = jnp.zeros((8, 84, 84, 4), jnp.uint8), jnp.zeros(8, jnp.int32)
    shapes = jax.eval_shape(lambda seen, action: frames.empty(seen, action, 125_000, 4), *examples)
    assert shapes.storage.action.size == 1_000_000
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes)) <= 7.5e9
