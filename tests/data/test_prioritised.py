"""Prioritised replay: places come in proportion to their priority; weights by hand; margins by brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.data import prioritised

draw = jax.jit(prioritised.draw_places, static_argnums=2)
put = jax.jit(prioritised.put)


def test_places_come_in_proportion():
    priorities = put(prioritised.empty(10), jnp.arange(10), jnp.array([0.0, 1, 2, 3, 4, 0, 0, 5, 0, 5]))
    place, priority = draw(priorities, jax.random.key(0), 4_000)
    np.testing.assert_allclose(
        np.bincount(place, minlength=10) / 4_000, np.array([0, 1, 2, 3, 4, 0, 0, 5, 0, 5]) / 20, atol=0.02
    )
    np.testing.assert_array_equal(priority, np.array([0.0, 1, 2, 3, 4, 0, 0, 5, 0, 5])[place])
    first = np.bincount(draw(priorities, jax.random.key(1), 20)[0] // 4, minlength=3)
    np.testing.assert_array_equal(first, [6, 9, 5])  # blocks hold 6, 9 and 5 of 20: a share each


def test_sums_follow_every_change():
    generator = np.random.default_rng(0)
    priorities, mirror = prioritised.empty(37), np.zeros(37)
    for _ in range(30):
        place = generator.choice(37, 5, replace=False)
        value = generator.random(5).astype(np.float32)
        priorities, mirror[place] = put(priorities, jnp.asarray(place), jnp.asarray(value)), value
    np.testing.assert_allclose(priorities.value.reshape(-1)[:37], mirror, rtol=1e-6)
    np.testing.assert_allclose(priorities.total, priorities.value.sum(axis=1), rtol=1e-6)
    assert priorities.largest >= 1


def test_the_largest_is_remembered_and_a_negative_place_is_passed_over():
    before = put(prioritised.empty(9), jnp.array([0, 8]), jnp.array([2.0, 3.0]))
    after = prioritised.put(before, jnp.array([-1, 8]), jnp.array([7.0, 0.5]))
    assert after.value.reshape(-1)[jnp.array([0, 8])].tolist() == [2, 0.5]
    assert after.value.sum() == 2.5
    assert before.largest == 3


def test_weights_by_hand():
    weight = prioritised.importance_weights(jnp.array([1.0, 4.0, 0.0, 16.0]), 0.5)
    np.testing.assert_allclose(weight, [1, 1 / 2, 0, 1 / 4], rtol=1e-6)
    np.testing.assert_allclose(prioritised.importance_weights(jnp.array([2.0, 8.0]), 1.0), [1, 1 / 4], rtol=1e-6)
    np.testing.assert_array_equal(prioritised.importance_weights(jnp.array([2.0, 8.0]), 0.0), [1, 1])
    np.testing.assert_array_equal(prioritised.importance_weights(jnp.zeros(2), 0.5), [0, 0])


def test_weights_make_the_average_right():
    value = jnp.array([1.0, 2.0, 3.0, 10.0])
    priorities = put(prioritised.empty(4), jnp.arange(4), jnp.array([1.0, 2.0, 4.0, 8.0]))
    place, priority = draw(priorities, jax.random.key(0), 4_000)
    weight = prioritised.importance_weights(priority, 1.0)
    np.testing.assert_allclose((weight * value[place]).sum() / weight.sum(), 4.0, rtol=0.02)


def test_errors_become_priorities():
    priority = prioritised.from_errors(jnp.array([0.0, -4.0, 9.0]), 0.5)
    np.testing.assert_allclose(priority, [1e-3, 2, 3], rtol=1e-5)


@pytest.mark.parametrize("margins", [(0, 0), (3, 1), (3, 4)])
@pytest.mark.parametrize("count", [1, 4])
def test_only_whole_rows_can_be_drawn(margins, count):
    rows, worlds = 12, 2
    after = jax.jit(prioritised.after_adding, static_argnums=(2, 3, 4))
    priorities = prioritised.empty(rows * worlds)
    for added in range(count, 40, count):
        priorities = after(priorities, jnp.int32(added), (rows, worlds), count, margins)
        oldest = max(added - rows, 0)
        expected = np.zeros((rows, worlds))
        for row in range(oldest + margins[0], added - margins[1]):
            expected[row % rows] = 1
        np.testing.assert_array_equal(priorities.value.reshape(-1)[: rows * worlds].reshape(rows, worlds), expected)
