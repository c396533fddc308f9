"""On-policy first-visit Monte Carlo control with ε-soft policies (Sutton & Barto 2018, section 5.4).

Idea: play, then move Q(s, a) towards the whole return that followed the episode's first visit to (s, a); act
ε-greedily in Q. Departures: the policy improves after every iteration and not after every episode; a truncated episode
is bootstrapped from its true last state, E_π Q(s', ·), and so is one that still runs ``num_steps`` to 2 ``num_steps``
steps after the visit, for otherwise a policy that walks in circles would never learn better; ε falls linearly; the step
size may fall more slowly than 1/n.
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
from puzzlebox.ops.bellman import policy_values
from puzzlebox.ops.returns import discounted_returns
from puzzlebox.types import Array, Key, Metrics, Policy, World


class Steps(NamedTuple):
    """Steps of ``B`` worlds, leaves ``[T, B]``."""

    state: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_state: Array
    first: Array  # the episode's first visit to (state, action)


class State(NamedTuple):
    values: Values
    worlds: Worlds
    unfinished: Steps  # the last iteration's, of which some may still wait for the end of their episode
    waiting: Array  # bool [T, B], True where the episode had not ended yet
    visited: Array  # int32 [B, S, U], the episode that last visited the entry
    episode: Array  # int32 [B], the number of the current one, from 1
    steps: Array  # int32 [], environment steps taken
    key: Key


class MonteCarlo(eqx.Module):
    """Learns from whole returns; Discrete or MultiDiscrete observations, Discrete actions."""

    episode_members = ("worlds", "waiting", "visited", "episode")

    env: World
    steps: int = param(500_000, "environment steps of the whole training", low=1)
    num_envs: int = param(8, "parallel worlds, all learning one table", low=1)
    num_steps: int = param(32, "steps per world between two improvements of the policy", low=1)
    learning_rate: float = param(1.0, "step size α of an entry's first update", low=0.0, high=1.0)
    learning_rate_decay: float = param(
        0.6, "α falls with an entry's visits n as 1/n^this; 1 = mean of all returns", low=0.0, high=1.0
    )
    discount: float = param(0.99, "γ, the weight of the next reward", low=0.0, high=1.0)
    epsilon_start: float = param(1.0, "probability of a random action at the start", low=0.0, high=1.0)
    epsilon_end: float = param(0.05, "probability of a random action at the end", low=0.0, high=1.0)
    epsilon_decay: float = param(0.9, "fraction of the steps over which ε falls, linearly", low=0.0, high=1.0)
    initial_q: float = param(0.0, "every value before training; high values make it explore")

    def __check_init__(self):
        check_fields(self)
        check_table("monte_carlo", self.env)

    @property
    def iteration_steps(self) -> int:
        return self.num_envs * self.num_steps

    def init(self, key: Key) -> State:
        worlds_key, key = jax.random.split(key)
        shape = (self.num_steps, self.num_envs)
        values = action_values.initial_values(self.env, self.initial_q)
        whole, flag = jnp.zeros(shape, jnp.int32), jnp.zeros(shape, bool)
        unfinished = Steps(whole, whole, jnp.zeros(shape), flag, flag, whole, flag)
        visited = jnp.zeros((self.num_envs, *values.q.shape), jnp.int32)
        worlds = make_worlds(self.env, self.num_envs).start(worlds_key)
        return State(values, worlds, unfinished, flag, visited, jnp.ones(self.num_envs, jnp.int32), jnp.int32(0), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        key, act_key, worlds_key = jax.random.split(state.key, 3)
        env = make_worlds(self.env, self.num_envs)
        each = jnp.arange(self.num_envs)

        def step(carry: tuple[Worlds, Array, Array], given: Any):
            worlds, visited, episode = carry
            epsilon, chance, drawn = given
            here = state_index(self.env.observation_space, worlds.observation)
            action = choose(epsilon_soft(state.values.q[here], epsilon), chance)
            first = visited[each, here, action] != episode
            visited = visited.at[each, here, action].set(episode)
            worlds, timestep, ended = env.step(worlds, action, drawn)
            there = state_index(self.env.observation_space, timestep.observation)
            done = timestep.terminated | timestep.truncated
            taken = Steps(here, action, timestep.reward, timestep.terminated, timestep.truncated, there, first)
            return (worlds, visited, episode + done), (taken, ended)

        epsilon = exploration(self, state.steps)
        chances = jax.random.uniform(act_key, (self.num_steps, self.num_envs))
        given = (epsilon, chances, env.draw(worlds_key, self.num_steps))
        (worlds, visited, episode), (taken, ended) = jax.lax.scan(
            step, (state.worlds, state.visited, state.episode), given
        )
        values, waiting, error = self._improve(state, taken, epsilon[-1])
        metrics = ended.metrics() | {"return_error": error, "epsilon": epsilon.mean()}
        steps = state.steps + self.iteration_steps
        return State(values, worlds, taken, waiting, visited, episode, steps, key), metrics

    def policy(self, state: State, greedy: bool = False) -> Policy:
        return action_values.policy(self.env, state.values.q, self.epsilon_end, greedy)

    def _improve(self, state: State, taken: Steps, epsilon: Array) -> tuple[Values, Array, Array]:
        """Learns from every episode that ended just now; also which new steps wait for their episode's end."""
        # The last iteration's steps and the new ones: episodes that were still running then may have ended now.
        both = jax.tree.map(lambda old, new: jnp.concatenate([old, new]), state.unfinished, taken)
        done = both.terminated | both.truncated
        finished = jax.lax.cummax(done.astype(jnp.int32), axis=0, reverse=True) == 1
        old = jnp.arange(len(done))[:, None] < self.num_steps  # too long an episode is taken as cut off here
        new = jnp.concatenate([state.waiting, jnp.ones_like(state.waiting)])

        # Their returns, bootstrapped where an episode was cut off.
        row = state.values.q[both.next_state]
        next_value = policy_values(row, epsilon_soft(row, epsilon))
        returns = discounted_returns(both.reward, next_value, both.terminated, both.truncated, self.discount)

        # Learn from first visits whose return is known, each once.
        counts = (finished | old) & new & both.first
        num_states = state.values.q.shape[0]
        place = jnp.where(counts, both.state, num_states).reshape(-1)  # a state past the end is left out
        values, error = learn(
            state.values,
            place,
            both.action.reshape(-1),
            returns.reshape(-1),
            self.learning_rate,
            self.learning_rate_decay,
        )
        mean = jnp.sum(jnp.abs(error), where=counts.reshape(-1)) / counts.sum()
        return values, ~finished[self.num_steps :], mean
