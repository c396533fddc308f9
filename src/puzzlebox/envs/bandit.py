"""The k-armed bandit: one state, k arms, each with its own unknown mean reward.

Source: Sutton & Barto, "Reinforcement Learning" (2018), section 2.3, the 10-armed testbed. Departure: the means may
also be probabilities, which the arms pay out as 0 or 1.
"""

from __future__ import annotations

from functools import lru_cache

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.fields import param
from puzzlebox.types import Array, Key, Timestep

OBSERVATION_SPACE = gymnasium.spaces.Discrete(1)


class Bandit(eqx.Module):
    """An episode is one pull. Observation: 0. Action: the arm, int32 below k. Always terminated.

    Gaussian arms pay N(mean, deviation²); Bernoulli arms pay 1 with probability mean, else 0. Without ``means``,
    k of them are drawn with ``seed``: standard normal for Gaussian arms, uniform in [0, 1] for Bernoulli arms.
    """

    arms: int = param(10, "number of arms, k", low=1)
    noise: str = param("gaussian", "how an arm pays around its mean", choices=("gaussian", "bernoulli"))
    deviation: float = param(1.0, "standard deviation of a Gaussian arm", low=0)
    seed: int = param(0, "draws the means of the arms", low=0)
    means: Array | None = None  # float32 [k]; replaces the drawn ones

    @property
    def observation_space(self) -> gymnasium.Space:
        return OBSERVATION_SPACE

    @property
    def action_space(self) -> gymnasium.Space:
        return _action_space(self.arms if self.means is None else self.means.shape[-1])

    @property
    def arm_means(self) -> Array:
        """The true mean of every arm, float32 [k]."""
        if self.means is not None:
            return self.means
        rng = np.random.default_rng(self.seed)
        drawn = rng.normal(size=self.arms) if self.noise == "gaussian" else rng.uniform(size=self.arms)
        return jnp.asarray(drawn, jnp.float32)

    def regret(self, action: Array) -> Array:
        """What pulling ``action`` [...] loses on average against the best arm: max mean − mean(action); [...]."""
        return self.arm_means.max() - self.arm_means[action]

    def reset(self, key: Key) -> tuple[Array, Array]:
        observation = jnp.int32(0)
        return observation, observation

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Timestep]:
        mean = self.arm_means[action]
        if self.noise == "gaussian":
            reward = mean + self.deviation * jax.random.normal(key)
        else:
            reward = jax.random.bernoulli(key, mean).astype(jnp.float32)
        return state, Timestep(state, reward, jnp.ones((), bool), jnp.zeros((), bool))


@lru_cache
def _action_space(arms: int) -> gymnasium.spaces.Discrete:
    return gymnasium.spaces.Discrete(arms)
