"""Worlds from a table: outcomes are drawn in proportion."""

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.table import Table, TableState, TableWorld
from puzzlebox.types import MDP


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
