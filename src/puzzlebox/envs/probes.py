"""Six tiny worlds with known values, each of which one broken part of an agent fails.

The order narrows the fault down. A failure on the first points to the value loss or the optimiser, on the second to
how observations enter the network, on the third to discounting and bootstrapping, on the fourth to the policy's
update, on the fifth to how the policy uses observations, on the sixth to how pictures enter the network.

Source: Andy Jones, "Debugging RL, without the agonizing pain" (2021); the sixth is ours.

Every world knows the truth about itself: ``observations`` [N, ...] lists what can be seen, and
``action_values(discount)`` [N, U] gives the optimal value of each action there; the value of an observation is the
largest of its row.
"""

from __future__ import annotations

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.types import Array, Key, Timestep

OBSERVATION_SPACE = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
ONE_ACTION = gymnasium.spaces.Discrete(1)
TWO_ACTIONS = gymnasium.spaces.Discrete(2)


def _sign(key: Key) -> Array:
    return jnp.where(jax.random.bernoulli(key, shape=(1,)), jnp.float32(1), jnp.float32(-1))


def _last(observation: Array, reward: Array) -> Timestep:
    return Timestep(observation, jnp.float32(reward), jnp.ones((), bool), jnp.zeros((), bool))


class OneAction(eqx.Module):
    """One step, one action, reward +1: V(0) = 1."""

    random_step = False
    observation_space = OBSERVATION_SPACE
    action_space = ONE_ACTION
    observations = np.array([[0]], np.float32)

    def action_values(self, discount: float) -> np.ndarray:
        return np.array([[1.0]])

    def reset(self, key: Key) -> tuple[Array, Array]:
        observation = jnp.zeros(1)
        return observation, observation

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Timestep]:
        return state, _last(state, jnp.float32(1))


class ObservedReward(eqx.Module):
    """One step, one action; the observation is −1 or +1 by a fair coin and so is the reward: V(s) = s."""

    random_step = False
    observation_space = OBSERVATION_SPACE
    action_space = ONE_ACTION
    observations = np.array([[-1], [1]], np.float32)

    def action_values(self, discount: float) -> np.ndarray:
        return np.array([[-1.0], [1.0]])

    def reset(self, key: Key) -> tuple[Array, Array]:
        observation = _sign(key)
        return observation, observation

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Timestep]:
        return state, _last(state, state[0])


class DelayedReward(eqx.Module):
    """Two steps, one action; sees 0 then 1, and only the second step pays +1: V(0) = γ, V(1) = 1."""

    random_step = False
    observation_space = OBSERVATION_SPACE
    action_space = ONE_ACTION
    observations = np.array([[0], [1]], np.float32)

    def action_values(self, discount: float) -> np.ndarray:
        return np.array([[discount], [1.0]])

    def reset(self, key: Key) -> tuple[Array, Array]:
        observation = jnp.zeros(1)
        return observation, observation

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Timestep]:
        last = state[0] > 0.5
        observation = jnp.ones_like(state)
        return observation, Timestep(observation, last.astype(jnp.float32), last, jnp.zeros_like(last))


class ActionReward(eqx.Module):
    """One step, always 0 to see; action 1 pays +1 and action 0 pays −1: Q(0, ·) = (−1, +1)."""

    random_step = False
    observation_space = OBSERVATION_SPACE
    action_space = TWO_ACTIONS
    observations = np.array([[0]], np.float32)

    def action_values(self, discount: float) -> np.ndarray:
        return np.array([[-1.0, 1.0]])

    def reset(self, key: Key) -> tuple[Array, Array]:
        observation = jnp.zeros(1)
        return observation, observation

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Timestep]:
        return state, _last(state, jnp.where(action == 1, jnp.float32(1), jnp.float32(-1)))


class Matching(eqx.Module):
    """One step; sees −1 or +1 by a fair coin; action 0 is right at −1 and action 1 at +1: Q is +1 if right, else −1."""

    random_step = False
    observation_space = OBSERVATION_SPACE
    action_space = TWO_ACTIONS
    observations = np.array([[-1], [1]], np.float32)

    def action_values(self, discount: float) -> np.ndarray:
        return np.array([[1.0, -1.0], [-1.0, 1.0]])

    def reset(self, key: Key) -> tuple[Array, Array]:
        observation = _sign(key)
        return observation, observation

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Timestep]:
        right = (action == 1) == (state[0] > 0)
        return state, _last(state, jnp.where(right, jnp.float32(1), jnp.float32(-1)))


class Pixels(eqx.Module):
    """One step; a 4 × 4 picture with one bright spot; action 0 is right for the left half, 1 for the right: Q is ±1."""

    random_step = False
    observation_space = gymnasium.spaces.Box(0, 1, (4, 4, 1), np.float32)
    action_space = TWO_ACTIONS
    observations = np.eye(16, dtype=np.float32)[::-1].reshape(16, 4, 4, 1)

    def action_values(self, discount: float) -> np.ndarray:
        left = self.observations[:, :, :2].sum((1, 2, 3)) > 0
        return np.where(left[:, None], [1.0, -1.0], [-1.0, 1.0])

    def reset(self, key: Key) -> tuple[Array, Array]:
        observation = jnp.asarray(self.observations)[jax.random.randint(key, (), 0, 16)]
        return observation, observation

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Timestep]:
        right = (action == 1) == (state[:, 2:].sum() > 0)
        return state, _last(state, jnp.where(right, jnp.float32(1), jnp.float32(-1)))
