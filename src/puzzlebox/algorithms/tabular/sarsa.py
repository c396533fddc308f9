"""SARSA (Rummery & Niranjan 1994): on-policy control, which learns the values of the policy that explores.

Idea: after every step, move Q(s, a) towards r + γ Q(s', a') with the action a' that is taken next. Source: Sutton &
Barto (2018), section 6.4. Departures: many worlds learn one table at once; ε falls linearly; the step size may fall
with the visits of each entry; at a truncation a' is drawn at the true s' though the next episode starts elsewhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from puzzlebox.acting.rollout import Worlds
from puzzlebox.algorithms.tabular import action_values
from puzzlebox.algorithms.tabular.action_values import Values, check_table, choose, epsilon_soft, exploration, learn
from puzzlebox.algorithms.tabular.worlds import make_worlds, state_index
from puzzlebox.fields import check_fields, param
from puzzlebox.ops.value_losses import action_value, td_target
from puzzlebox.types import Array, Key, Metrics, Policy, World


class State(NamedTuple):
    values: Values
    worlds: Worlds
    action: Array  # int32 [B], chosen for the observations the worlds stand at
    steps: Array  # int32 [], environment steps taken
    key: Key


class Sarsa(eqx.Module):
    """On-policy control with a table; Discrete or MultiDiscrete observations, Discrete actions."""

    episode_members = ("worlds", "action")

    env: World
    steps: int = param(500_000, "environment steps of the whole training", low=1)
    num_envs: int = param(8, "parallel worlds, all learning one table", low=1)
    num_steps: int = param(64, "steps per world and iteration", low=1)
    learning_rate: float = param(1.0, "step size α of an entry's first update", low=0.0, high=1.0)
    learning_rate_decay: float = param(
        0.6, "α falls with an entry's visits n as 1/n^this; 0 = never", low=0.0, high=1.0
    )
    discount: float = param(0.99, "γ, the weight of the next reward", low=0.0, high=1.0)
    epsilon_start: float = param(1.0, "probability of a random action at the start", low=0.0, high=1.0)
    epsilon_end: float = param(0.05, "probability of a random action at the end", low=0.0, high=1.0)
    epsilon_decay: float = param(0.5, "fraction of the steps over which ε falls, linearly", low=0.0, high=1.0)
    initial_q: float = param(0.0, "every value before training; high values make it explore")

    def __check_init__(self):
        check_fields(self)
        check_table("sarsa", self.env)

    @property
    def iteration_steps(self) -> int:
        return self.num_envs * self.num_steps

    def init(self, key: Key) -> State:
        worlds_key, act_key, key = jax.random.split(key, 3)
        values = action_values.initial_values(self.env, self.initial_q)
        worlds = make_worlds(self.env, self.num_envs).start(worlds_key)
        row = values.q[state_index(self.env.observation_space, worlds.observation)]
        action = choose(epsilon_soft(row, self.epsilon_start), jax.random.uniform(act_key, (self.num_envs,)))
        return State(values, worlds, action, jnp.int32(0), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        key, act_key, worlds_key = jax.random.split(state.key, 3)
        env = make_worlds(self.env, self.num_envs)
        space = self.env.observation_space

        def step(carry: tuple[Values, Worlds, Array], given: Any):
            values, worlds, action = carry
            epsilon, chance, drawn = given
            here = state_index(space, worlds.observation)
            worlds, timestep, ended = env.step(worlds, action, drawn)
            row = values.q[state_index(space, timestep.observation)]
            following = choose(epsilon_soft(row, epsilon), chance[0])
            target = td_target(timestep.reward, action_value(row, following), timestep.terminated, self.discount)
            fresh = choose(epsilon_soft(values.q[state_index(space, worlds.observation)], epsilon), chance[1])
            done = timestep.terminated | timestep.truncated
            values, error = learn(values, here, action, target, self.learning_rate, self.learning_rate_decay)
            return (values, worlds, jnp.where(done, fresh, following)), (ended, jnp.abs(error))

        epsilon = exploration(self, state.steps)
        chances = jax.random.uniform(act_key, (self.num_steps, 2, self.num_envs))
        given = (epsilon, chances, env.draw(worlds_key, self.num_steps))
        carry = (state.values, state.worlds, state.action)
        (values, worlds, action), (ended, error) = jax.lax.scan(step, carry, given)
        metrics = ended.metrics() | {"td_error": error.mean(), "epsilon": epsilon.mean()}
        return State(values, worlds, action, state.steps + self.iteration_steps, key), metrics

    def policy(self, state: State, greedy: bool = False) -> Policy:
        return action_values.policy(self.env, state.values.q, self.epsilon_end, greedy)
