"""`when` is a branch, also under vmap."""

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.ops.branch import when


def test_it_chooses():
    assert when(jnp.bool_(True), lambda x: x + 1, jnp.float32(1)) == 2
    assert when(jnp.bool_(False), lambda x: x + 1, jnp.float32(1)) == 1


def test_each_row_of_a_batch_chooses_for_itself():
    result = jax.vmap(lambda c, x: when(c, lambda x: x * 10, x))(jnp.array([True, False]), jnp.array([1.0, 2.0]))
    np.testing.assert_array_equal(result, [10, 2])


def test_what_is_false_everywhere_is_not_computed():
    calls = []

    def count(x):
        jax.debug.callback(lambda _: calls.append(1), x)
        return x

    for conditions, expected in (([False, False], 0), ([True, False], 1)):
        calls.clear()
        jax.jit(jax.vmap(lambda c, x: when(c, count, x)))(jnp.array(conditions), jnp.zeros(2))
        jax.effects_barrier()
        assert (len(calls) > 0) == (expected > 0)
