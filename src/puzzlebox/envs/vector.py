"""Many worlds at once: ``vectorize(env, num_envs)`` steps ``B`` of them and restarts each one that ends."""

from __future__ import annotations

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp

from puzzlebox.errors import UsageError
from puzzlebox.types import Array, Environment, Key, Predictable, Simulated, State, Timestep, VectorEnvironment, World


def vectorize(env: World, num_envs: int) -> VectorEnvironment:
    """``num_envs`` copies of ``env`` that restart by themselves; a simulator (`Simulated`) brings its own copies.

    A pure world may set ``random_step = False`` to say that its ``step`` ignores its key; it then costs no keys.
    Raises UsageError when ``num_envs`` is below 1.
    """
    if num_envs < 1:
        raise UsageError(f"num_envs is {num_envs}; it must be at least 1")
    return env.vectorize(num_envs) if isinstance(env, Simulated) else Vectorized(env, num_envs)


def random_step(env: Environment) -> bool:
    """Whether a step of the world draws at random, as far as it says."""
    return env.random_step if isinstance(env, Predictable) else True


class Vectorized(eqx.Module):
    """``B`` copies of one pure world; states, actions, observations and timesteps have a leading axis ``[B]``."""

    env: Environment
    num_envs: int = eqx.field(static=True)

    @property
    def observation_space(self) -> gymnasium.Space:
        return self.env.observation_space

    @property
    def action_space(self) -> gymnasium.Space:
        return self.env.action_space

    def reset(self, key: Key) -> tuple[State, Array]:
        return jax.vmap(self.env.reset)(jax.random.split(key, self.num_envs))

    def step(self, state: State, action: Array, key: Key) -> tuple[State, Timestep, Array]:
        if random_step(self.env):
            reset_key, step_key = jax.random.split(key)
            state, timestep = jax.vmap(self.env.step)(state, action, jax.random.split(step_key, self.num_envs))
        else:  # such a step ignores its key, so the one key is still used once
            reset_key = key
            state, timestep = jax.vmap(self.env.step, (0, 0, None))(state, action, key)
        # Every world is also reset, whether it ended or not: under `vmap` a choice computes both sides anyway.
        start = self.reset(reset_key)
        done = timestep.terminated | timestep.truncated

        def choose(fresh: Array, current: Array) -> Array:
            return jnp.where(done.reshape(done.shape + (1,) * (fresh.ndim - 1)), fresh, current)

        state, observation = jax.tree.map(choose, start, (state, timestep.observation))
        return state, timestep, observation
