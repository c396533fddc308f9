"""Small agents for tiny worlds whose values are known, and what they have learned."""

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.algorithms.deep.actor_critic import ActorCritic
from puzzlebox.algorithms.deep.dqn import DQN
from puzzlebox.algorithms.deep.ppo import PPO
from puzzlebox.algorithms.deep.reinforce import Reinforce
from puzzlebox.nets.heads import ActorAndCritic

DISCOUNT = 0.8
SMALL = {"hidden": (16,), "discount": DISCOUNT}
AGENTS = {
    "ppo": lambda env: PPO(env, steps=6_400, num_envs=8, num_steps=16, learning_rate=1e-2, **SMALL),
    "actor_critic": lambda env: ActorCritic(env, steps=32_000, num_envs=16, num_steps=4, learning_rate=1e-2, **SMALL),
    "reinforce": lambda env: Reinforce(env, steps=64_000, num_envs=16, num_steps=8, learning_rate=1e-2, **SMALL),
    "dqn": lambda env: DQN(env, steps=8_000, learning_rate=1e-2, learning_starts=64, capacity=2_000, **SMALL),
}


def trained(agent):
    """The state after training, in one compiled call."""
    iterations = agent.steps // agent.iteration_steps
    run = jax.jit(lambda key: jax.lax.fori_loop(0, iterations, lambda _, s: agent.step(s)[0], agent.init(key)))
    return run(jax.random.key(0))


def values(state, observations):
    """The learned value of each observation: the critic's, or the best action's."""
    x = jnp.asarray(observations, jnp.float32)
    if not hasattr(state, "nets"):
        return np.asarray(state.net(x).max(axis=-1))
    if isinstance(state.nets, ActorAndCritic):
        return np.asarray(state.nets.value(x))
    critic = state.nets.baseline if hasattr(state.nets, "baseline") else state.nets.critic
    return np.asarray(critic(x)[:, 0])
