import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from puzzlebox.ops.schedules import exponential, linear


def test_by_hand():
    schedule = linear(1.0, 0.2, 100)
    np.testing.assert_allclose([schedule(t) for t in (0, 25, 50, 100, 1000)], [1.0, 0.8, 0.6, 0.2, 0.2], rtol=1e-6)
    # 1 -> 0.01 over 100 steps: a tenth after 50
    schedule = exponential(1.0, 0.01, 100)
    np.testing.assert_allclose([schedule(t) for t in (0, 50, 100, 1000)], [1.0, 0.1, 0.01, 0.01], rtol=1e-5)


def test_equal_to_optax_where_optax_can():
    steps = np.arange(0, 150, 7)
    np.testing.assert_allclose(linear(3e-4, 0.0, 100)(steps), optax.linear_schedule(3e-4, 0.0, 100)(steps), atol=1e-9)
    theirs = optax.exponential_decay(1.0, 100, 0.05, end_value=0.05)
    np.testing.assert_allclose(exponential(1.0, 0.05, 100)(steps), theirs(steps), rtol=1e-5)


@pytest.mark.parametrize("schedule", [linear, exponential])
def test_no_steps_means_the_end_at_once(schedule):
    assert float(schedule(1.0, 0.5, 0)(0)) == 0.5


@pytest.mark.parametrize("schedule", [linear, exponential])
def test_every_argument_can_be_swept(schedule):
    start, end, steps = jnp.array([1.0, 0.5]), jnp.array([0.1, 0.2]), jnp.array([10, 0])
    swept = jax.jit(jax.vmap(lambda a, b, c: schedule(a, b, c)(5)))(start, end, steps)
    np.testing.assert_allclose(swept, [schedule(1.0, 0.1, 10)(5), 0.2], rtol=1e-6)


def test_optax_takes_it_as_a_learning_rate():
    optimiser = optax.sgd(linear(1.0, 0.0, 4))
    parameters, state, taken = jnp.zeros(()), optimiser.init(jnp.zeros(())), []
    for _ in range(5):
        update, state = optimiser.update(jnp.ones(()), state, parameters)
        taken.append(float(update))
    np.testing.assert_allclose(taken, [-1.0, -0.75, -0.5, -0.25, 0.0])
