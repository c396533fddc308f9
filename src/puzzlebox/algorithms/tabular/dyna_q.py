"""Dyna-Q (Sutton 1990; Sutton & Barto 2018, section 8.2): Q-learning that also learns from a model of the world.

Idea: remember what every (s, a) led to; after every real step, replay some remembered ones and update Q from them as if
they had just happened. Departures: the model remembers the last ``memory`` outcomes of each entry, so that it fits
worlds of chance too (1 is the book's, for worlds without); the planning updates of one step are made all at once; many
worlds learn one table and one model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from puzzlebox.acting.rollout import Worlds
from puzzlebox.algorithms.tabular import action_values
from puzzlebox.algorithms.tabular.action_values import (
    Values,
    check_table,
    choose,
    epsilon_soft,
    exploration,
    learn,
    repeats,
    step_size,
)
from puzzlebox.algorithms.tabular.worlds import make_worlds, state_index
from puzzlebox.fields import check_fields, param
from puzzlebox.ops.value_losses import q_learning_target
from puzzlebox.types import Array, Key, Metrics, Policy, World


class Model(NamedTuple):
    """The world as remembered: the last ``M`` outcomes of every entry, and which entries were ever visited."""

    next_state: Array  # int32 [S, U, M]
    reward: Array  # float32 [S, U, M]
    terminated: Array  # bool [S, U, M]
    visits: Array  # int32 [S, U]; min(visits, M) outcomes are filled
    known: Array  # int32 [S · U], s · U + a of the visited entries in the order of their first visits
    num_known: Array  # int32 []


class State(NamedTuple):
    values: Values
    model: Model
    worlds: Worlds
    steps: Array  # int32 [], environment steps taken
    key: Key


class DynaQ(eqx.Module):
    """Q-learning with planning; Discrete or MultiDiscrete observations, Discrete actions."""

    env: World
    steps: int = param(100_000, "environment steps of the whole training", low=1)
    num_envs: int = param(4, "parallel worlds, all learning one table", low=1)
    num_steps: int = param(32, "steps per world and iteration", low=1)
    planning_steps: int = param(10, "updates from the model per environment step", low=0)
    memory: int = param(16, "outcomes remembered per state and action; 1 is enough where nothing is random", low=1)
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
        check_table("dyna_q", self.env)

    @property
    def iteration_steps(self) -> int:
        return self.num_envs * self.num_steps

    def init(self, key: Key) -> State:
        worlds_key, key = jax.random.split(key)
        values = action_values.initial_values(self.env, self.initial_q)
        worlds = make_worlds(self.env, self.num_envs).start(worlds_key)
        num_states, num_actions = values.q.shape
        return State(values, empty_model(num_states, num_actions, self.memory), worlds, jnp.int32(0), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        key, act_key, worlds_key, plan_key = jax.random.split(state.key, 4)
        env = make_worlds(self.env, self.num_envs)

        def step(carry: tuple[Values, Model, Worlds], given: Any):
            values, model, worlds = carry
            epsilon, chance, drawn, plan_chance = given
            here = state_index(self.env.observation_space, worlds.observation)
            action = choose(epsilon_soft(values.q[here], epsilon), chance)
            worlds, timestep, ended = env.step(worlds, action, drawn)
            there = state_index(self.env.observation_space, timestep.observation)
            target = q_learning_target(timestep.reward, values.q[there], timestep.terminated, self.discount)
            values, error = learn(values, here, action, target, self.learning_rate, self.learning_rate_decay)
            model = remember(model, here, action, there, timestep.reward, timestep.terminated)
            if self.planning_steps:
                values = self._plan(values, model, plan_chance)
            return (values, model, worlds), (ended, jnp.abs(error))

        epsilon = exploration(self, state.steps)
        chances = jax.random.uniform(act_key, (self.num_steps, self.num_envs))
        plan_chances = jax.random.uniform(plan_key, (self.num_steps, 2, self.num_envs * self.planning_steps))
        given = (epsilon, chances, env.draw(worlds_key, self.num_steps), plan_chances)
        carry = (state.values, state.model, state.worlds)
        (values, model, worlds), (ended, error) = jax.lax.scan(step, carry, given)
        metrics = ended.metrics() | {
            "td_error": error.mean(),
            "epsilon": epsilon.mean(),
            "known_fraction": model.num_known / model.known.size,
        }
        return State(values, model, worlds, state.steps + self.iteration_steps, key), metrics

    def policy(self, state: State, greedy: bool = False) -> Policy:
        return action_values.policy(self.env, state.values.q, self.epsilon_end, greedy)

    def _plan(self, values: Values, model: Model, chance: Array) -> Values:
        """Q-learning on remembered steps, drawn by ``chance [2, N]``; they do not count as visits."""
        state, action, reward, terminated, following = recall(model, chance)
        target = q_learning_target(reward, values.q[following], terminated, self.discount)
        together = repeats(state, action, values.q.shape)
        step = step_size(model.visits[state, action], together, self.learning_rate, self.learning_rate_decay)
        error = target - values.q[state, action]
        return values._replace(q=values.q.at[state, action].add(step * error))


def empty_model(num_states: int, num_actions: int, memory: int) -> Model:
    """A model that remembers nothing yet, with room for ``memory`` outcomes of every entry."""
    shape = (num_states, num_actions, memory)
    return Model(
        jnp.zeros(shape, jnp.int32),
        jnp.zeros(shape),
        jnp.zeros(shape, bool),
        jnp.zeros(shape[:2], jnp.int32),
        jnp.zeros(num_states * num_actions, jnp.int32),
        jnp.int32(0),
    )


def remember(model: Model, state: Array, action: Array, next_state: Array, reward: Array, terminated: Array) -> Model:
    """Adds ``B`` steps, each argument ``[B]``; an entry that is full forgets its oldest outcome."""
    # Several worlds may visit one entry at once: each gets a slot of its own, and of more than fit the last ones stay.
    num_states, num_actions, memory = model.next_state.shape
    order = jnp.arange(len(state))
    same = (state[:, None] == state) & (action[:, None] == action)
    rank = jnp.sum(same & (order < order[:, None]), axis=-1)  # of a step among those of the same entry
    before = model.visits[state, action]
    slot = (before + rank) % memory
    overwritten = (same & (slot[:, None] == slot) & (order > order[:, None])).any(-1)
    place = jnp.where(overwritten, num_states, state), action, slot  # a state past the end writes nothing

    # Entries seen for the first time join the list of known ones.
    new = (before == 0) & (rank == 0)
    position = jnp.where(new, model.num_known + jnp.cumsum(new) - 1, num_states * num_actions)
    return Model(
        model.next_state.at[place].set(next_state, mode="drop"),
        model.reward.at[place].set(reward, mode="drop"),
        model.terminated.at[place].set(terminated, mode="drop"),
        model.visits.at[state, action].add(1),
        model.known.at[position].set(state * num_actions + action, mode="drop"),
        model.num_known + new.sum(),
    )


def recall(model: Model, chance: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Remembered steps: a known entry drawn uniformly, then one of its outcomes, by uniform numbers ``chance [2, N]``.

    Returns state, action, reward, terminated and next state, each ``[N]``.
    """
    _, num_actions, memory = model.next_state.shape
    entry = model.known[_pick(chance[0], model.num_known)]
    state, action = entry // num_actions, entry % num_actions
    place = state, action, _pick(chance[1], jnp.minimum(model.visits[state, action], memory))
    return state, action, model.reward[place], model.terminated[place], model.next_state[place]


def _pick(chance: Array, size: Array) -> Array:
    """An index below ``size``, from a uniform number in [0, 1)."""
    return jnp.minimum((chance * size).astype(jnp.int32), size - 1)
