"""What the tabular algorithms share: a table of action values, ε-greedy choice, and the update of many entries at once.

Source: Sutton & Barto (2018), chapters 2, 5 and 6. Departures: the step size may fall with the visits of each entry,
which makes Q converge; several worlds may update the same entry at once, and then their targets are averaged into one
step of at most the way to their mean.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.algorithms.tabular.worlds import num_states, state_index
from puzzlebox.nets.heads import require_discrete_actions
from puzzlebox.ops.schedules import linear
from puzzlebox.types import Array, Key, Policy, World

PAIRWISE_LIMIT = 128  # up to so many updates at once, comparing all pairs is faster than counting in a table


class Values(NamedTuple):
    """``q [S, U]`` and how often each entry was updated, ``visits`` int32 ``[S, U]``."""

    q: Array
    visits: Array


def check_table(algorithm: str, env: World) -> tuple[int, int]:
    """The numbers of states and actions; raises UsageError for a world whose values do not fit a table."""
    return num_states(algorithm, env.observation_space), require_discrete_actions(algorithm, env.action_space)


def initial_values(env: World, initial_q: ArrayLike) -> Values:
    """Every value ``initial_q``, nothing visited."""
    shape = check_table("a table", env)
    return Values(jnp.full(shape, initial_q, jnp.float32), jnp.zeros(shape, jnp.int32))


def exploration(algorithm: Any, steps: Array) -> Array:
    """ε of every step of the iteration that starts after ``steps`` environment steps, ``[T]``."""
    decay_steps = algorithm.epsilon_decay * algorithm.steps
    schedule = linear(algorithm.epsilon_start, algorithm.epsilon_end, decay_steps)
    return schedule(steps + algorithm.num_envs * jnp.arange(algorithm.num_steps))


def epsilon_soft(q: Array, epsilon: ArrayLike) -> Array:
    """The ε-greedy policy: π(a|s) = ε/U + (1 − ε) [a is best] / (number of best actions).

    ``[..., U]`` → ``[..., U]``. Equally good actions are equally likely.
    """
    best = q == jnp.max(q, axis=-1, keepdims=True)
    share = (1.0 - epsilon) / jnp.sum(best, axis=-1, keepdims=True)
    return jnp.where(best, share, 0.0) + epsilon / q.shape[-1]


def choose(probability: Array, chance: Array) -> Array:
    """Draws actions by inverting the cumulative probabilities at uniform numbers ``chance``.

    ``probability [..., U]``, ``chance [...]`` in [0, 1) → int32 ``[...]``. Random numbers come from outside, because
    all of an iteration are drawn at once.
    """
    cumulative = jnp.cumsum(probability, axis=-1)[..., :-1]
    return jnp.sum(chance[..., None] >= cumulative, axis=-1).astype(jnp.int32)


def learn(
    values: Values, state: Array, action: Array, target: Array, learning_rate: ArrayLike, decay: ArrayLike
) -> tuple[Values, Array]:
    """Moves entries towards their targets; returns the new values and the errors ``[N]``.

    Q(s, a) += min(α, 1/c) Σ (target − Q(s, a)),  α = learning_rate / n^decay

    where c counts the entry in this batch and n its visits, these included: with learning_rate and decay 1, Q is
    the mean of all targets ever. Shapes: ``state``, ``action``, ``target`` ``[N]``; a state below 0 or from S on is
    left out.
    """
    together = repeats(state, action, values.q.shape)
    visits = values.visits.at[state, action].add(1, mode="drop")
    error = target - values.q[state, action]
    step = step_size(visits[state, action], together, learning_rate, decay)
    # Without the barrier XLA interleaves reading and writing Q and copies the whole table in every step.
    change, q = jax.lax.optimization_barrier((step * error, values.q))
    return Values(q.at[state, action].add(change, mode="drop"), visits), error


def repeats(state: Array, action: Array, shape: tuple[int, ...]) -> Array:
    """How often each entry occurs in a batch, int32 ``[N]``; ``shape`` is the table's."""
    if len(state) == 1:
        return jnp.ones(1, jnp.int32)
    if len(state) > PAIRWISE_LIMIT:
        return jnp.zeros(shape, jnp.int32).at[state, action].add(1, mode="drop")[state, action]
    return jnp.sum((state[:, None] == state) & (action[:, None] == action), axis=-1)


def step_size(visits: Array, repeats: ArrayLike, learning_rate: ArrayLike, decay: ArrayLike) -> Array:
    """min(α, 1/c) with α = learning_rate / n^decay: targets of one entry that come together never overshoot."""
    alpha = learning_rate * visits.astype(jnp.float32) ** -jnp.asarray(decay, jnp.float32)
    return jnp.minimum(alpha, 1.0 / repeats)


def policy(env: World, q: Array, epsilon: ArrayLike, greedy: bool) -> Policy:
    """The ε-greedy policy of ``q``, or its greedy one, the first best action on a tie."""

    def act(observation: Array, key: Key) -> Array:
        row = q[state_index(env.observation_space, observation)]
        if greedy:
            return jnp.argmax(row, axis=-1).astype(jnp.int32)
        return choose(epsilon_soft(row, epsilon), jax.random.uniform(key, row.shape[:-1]))

    return act
