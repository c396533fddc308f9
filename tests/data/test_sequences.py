"""Stretches of a replay that keeps time, held against a plain list of rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.data import replay, sequences

WORLDS, ROWS, BLOCK = 3, 8, 2


def filled(blocks):
    """A replay after so many blocks; step (row, world) holds the number 10·row + world."""
    steps = replay.empty(jax.ShapeDtypeStruct((WORLDS,), jnp.int32), ROWS)
    for block in range(blocks):
        rows = BLOCK * block + jnp.arange(BLOCK)
        steps = replay.add(steps, 10 * rows[:, None] + jnp.arange(WORLDS))
    return steps


@pytest.mark.parametrize(
    ("blocks", "length"),
    [(blocks, length) for blocks in [1, 3, 4, 5, 9] for length in [1, 2, 5, 8] if length <= min(BLOCK * blocks, ROWS)],
)
def test_every_stretch_that_is_there_is_drawn_and_no_other(blocks, length):
    steps = filled(blocks)
    added = BLOCK * blocks
    rows = range(max(0, added - ROWS), added)
    row, world = sequences.draw_starts(steps, jax.random.key(0), 2000, length)
    expected = {(r, w) for r in rows for w in range(WORLDS) if r + length - 1 in rows}
    assert set(zip(row.tolist(), world.tolist(), strict=True)) == expected
    stretch = sequences.read(steps.storage, row, world, length)
    truth = 10 * (np.asarray(row) + np.arange(length)[:, None]) + np.asarray(world)
    np.testing.assert_array_equal(stretch, truth)


def test_drawing_is_even():
    row, world = sequences.draw_starts(filled(4), jax.random.key(1), 30_000, 5)
    counts = np.zeros((4, WORLDS))
    np.add.at(counts, (np.asarray(row), np.asarray(world)), 1)
    np.testing.assert_allclose(counts / 30_000, 1 / 12, atol=0.01)


def test_too_few_rows_give_places_that_exist():
    row, world = sequences.draw_starts(filled(1), jax.random.key(0), 50, 8)
    assert set(row.tolist()) == {0}
    assert set(world.tolist()) == set(range(WORLDS))
