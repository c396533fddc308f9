"""A world of your own as two pure functions, and PPO on it with several seeds in one compiled program.

A lander falls; its one engine is on or off; touching the ground slowly pays, fast costs.
Run it with: python examples/own_environment.py
"""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.algorithms.deep.ppo import PPO
from puzzlebox.envs.check import check_environment
from puzzlebox.types import Timestep

GRAVITY, THRUST, SAFE_SPEED, TIME_LIMIT, SEEDS = 0.02, 0.05, 0.15, 200, 5


class Lander(eqx.Module):
    """Observation: height and speed upwards. Action: engine off or on. Gentle landing +1, crash −1, else −0.02."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, key):
        height = jax.random.uniform(key, (), jnp.float32, 0.5, 1.5)
        return (height, jnp.float32(0), jnp.int32(0)), jnp.stack([height, jnp.float32(0)])

    def step(self, state, action, key):
        height, speed, time = state
        speed = speed + jnp.where(action == 1, THRUST, 0.0) - GRAVITY
        height, time = height + speed, time + 1
        landed = height <= 0
        reward = jnp.where(landed, jnp.where(-speed <= SAFE_SPEED, 1.0, -1.0), -0.02).astype(jnp.float32)
        too_late = ~landed & (time >= TIME_LIMIT)
        return (height, speed, time), Timestep(jnp.stack([height, speed]), reward, landed, too_late)


def main() -> None:
    check_environment(Lander())
    ppo = PPO(env=Lander(), steps=50_000, num_envs=16, num_steps=32)
    state = jax.vmap(ppo.init)(jax.random.split(jax.random.key(0), SEEDS))
    step = jax.jit(jax.vmap(ppo.step))
    iterations = ppo.steps // ppo.iteration_steps
    for iteration in range(1, iterations + 1):
        state, metrics = step(state)
        if iteration % (iterations // 5) == 0:
            returns = ", ".join(f"{value:5.2f}" for value in metrics["episode_return"])
            print(f"{iteration * ppo.iteration_steps:6} steps: mean return of each seed {returns}")


if __name__ == "__main__":
    main()
