"""MuZero finds the values of the probes, the right actions, and that truncation is not death."""

import functools

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.planning.muzero import MuZero
from puzzlebox.envs import probes
from puzzlebox.ops.two_hot import expected_value
from puzzlebox.types import Timestep

DISCOUNT = 0.8


class Endless(eqx.Module):
    """Reward 1 for ever, but a clock cuts every episode after 3 steps: the value is 1 / (1 − γ) all the same."""

    observations = np.zeros((1, 1), np.float32)

    def action_values(self, discount):
        return np.array([[1 / (1 - discount)]])

    def reset(self, key):
        return jnp.zeros(1), jnp.zeros(1)

    def step(self, state, action, key):
        over = state[0] >= 2
        return state + 1, Timestep(jnp.zeros(1), jnp.float32(1), jnp.zeros((), bool), over)


NUMBERS = 16  # in the longest observation of a probe


def padded(x):
    return jnp.zeros(NUMBERS).at[: x.size].set(x.reshape(-1))


class Probes(eqx.Module):
    """All probes as one world, so that one program learns them: the observation begins with the probe's number."""

    worlds = (
        probes.OneAction(),
        probes.ObservedReward(),
        probes.DelayedReward(),
        probes.ActionReward(),
        probes.Matching(),
        probes.Pixels(),
        Endless(),
    )
    observation_space = gymnasium.spaces.Box(-1, 1, (len(worlds) + NUMBERS,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def seen(self, number, observation):
        return jnp.concatenate([jax.nn.one_hot(number, len(self.worlds)), padded(observation)])

    def reset(self, key):
        number_key, key = jax.random.split(key)
        number = jax.random.randint(number_key, (), 0, len(self.worlds))
        resets = [lambda key, world=world: jax.tree.map(padded, world.reset(key)) for world in self.worlds]
        state, observation = jax.lax.switch(number, resets, key)
        return (number, state), self.seen(number, observation)

    def step(self, state, action, key):
        def step(world, state, action, key):
            shape = world.observations.shape[1:]
            state, timestep = world.step(state[: np.prod(shape)].reshape(shape), action, key)
            return padded(state), timestep._replace(observation=padded(timestep.observation))

        number, inner = state
        steps = [functools.partial(step, world) for world in self.worlds]
        inner, timestep = jax.lax.switch(number, steps, inner, action, key)
        return (number, inner), timestep._replace(observation=self.seen(number, timestep.observation))


SMALL = {
    "num_envs": 16,
    "num_steps": 4,
    "num_simulations": 6,
    "num_updates": 16,
    "batch_size": 64,
    "capacity": 4096,
    "learning_starts": 2048,  # by then every action was tried in every picture
    "unroll_steps": 3,
    "td_steps": 3,
    "learning_rate": 5e-3,
    "discount": DISCOUNT,
    "num_bins": 21,
    "width": 32,
    "hidden": (64,),
}


def trained(agent):
    """The state after training, in one compiled call."""
    iterations = agent.steps // agent.iteration_steps
    run = jax.jit(lambda key: jax.lax.fori_loop(0, iterations, lambda _, s: agent.step(s)[0], agent.init(key)))
    return run(jax.random.key(0))


def test_probes():
    """Values of all, the right action where there is one, and that truncation is not death."""
    env = Probes()
    agent = MuZero(env, steps=19_200, value_limit=6.0, **SMALL)
    state = trained(agent)
    pairs = [(i, row) for i, world in enumerate(env.worlds) for row in range(len(world.observations))]
    seen = jnp.stack([env.seen(i, jnp.asarray(env.worlds[i].observations[row])) for i, row in pairs])
    truth = [env.worlds[i].action_values(DISCOUNT)[row] for i, row in pairs]
    value = expected_value(state.net.predict(state.net.represent(seen))[1], agent.value_limit)
    for (i, _), found, expected in zip(pairs, value.tolist(), truth, strict=True):
        assert found == pytest.approx(expected.max(), abs=0.12, rel=0.1), type(env.worlds[i]).__name__
    chosen = agent.policy(state, greedy=True)(seen, jax.random.key(1))
    for action, expected in zip(chosen.tolist(), truth, strict=True):
        assert len(expected) == 1 or action == expected.argmax()
