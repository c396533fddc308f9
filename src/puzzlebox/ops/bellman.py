"""Bellman backups on finite Markov decision processes, sparse or dense.

    q(s, a) = Σ_k p_k (r_k + γ V(s_k) [outcome k does not end the episode])

Source: Bellman 1957; Puterman, Markov Decision Processes, 1994, chapter 6; Sutton & Barto 2018, chapter 4. Every
function follows the precision of what it is given: numpy float64 tables stay float64 under ``jax.enable_x64``.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from puzzlebox.errors import UsageError
from puzzlebox.types import MDP, Array, ArrayLike


class DenseMDP(NamedTuple):
    """A finite MDP with every next state written out.

    A row of ``transition`` that sums to less than 1 ends the episode with the probability that is missing.
    """

    transition: ArrayLike  # float [S, U, S]
    reward: ArrayLike  # float [S, U], the expected reward
    start: ArrayLike  # float [S]


def action_values(mdp: MDP | DenseMDP, value: ArrayLike, discount: float | Array) -> Array:
    """The action values that follow from state values, one step ahead.

    q(s, a) = Σ_k p_k (r_k + γ (1 − terminated_k) V(s_k));  dense: q = R + γ P V.

    ``value [S]`` → ``[S, U]``.
    """
    value = jnp.asarray(value)
    if isinstance(mdp, DenseMDP):
        return jnp.asarray(mdp.reward) + discount * (jnp.asarray(mdp.transition) @ value)
    following = jnp.where(jnp.asarray(mdp.terminated), 0.0, value[jnp.asarray(mdp.next_state)])
    return jnp.sum(jnp.asarray(mdp.probability) * (jnp.asarray(mdp.reward) + discount * following), axis=-1)


def greedy(q_values: Array) -> Array:
    """The best action of every state, the first one on a tie: argmax_a q(s, a). ``[..., U]`` → int32 ``[...]``."""
    return jnp.argmax(q_values, axis=-1).astype(jnp.int32)


def optimal_backup(mdp: MDP | DenseMDP, value: ArrayLike, discount: float | Array) -> Array:
    """One step of value iteration: (T V)(s) = max_a q(s, a). ``[S]`` → ``[S]``."""
    return jnp.max(action_values(mdp, value, discount), axis=-1)


def policy_backup(mdp: MDP | DenseMDP, value: ArrayLike, discount: float | Array, policy: ArrayLike) -> Array:
    """One step of policy evaluation: (T_π V)(s) = Σ_a π(a|s) q(s, a). ``[S]`` → ``[S]``.

    ``policy``: an action per state, int [S], or a distribution over actions per state, float [S, U].
    """
    return policy_values(action_values(mdp, value, discount), policy)


def policy_values(q_values: Array, policy: ArrayLike) -> Array:
    """Σ_a π(a|s) q(s, a) for a deterministic (int [S]) or stochastic (float [S, U]) policy. ``[S, U]`` → ``[S]``."""
    policy = jnp.asarray(policy)
    if policy.ndim == 1:
        return jnp.take_along_axis(q_values, policy[:, None], axis=-1)[:, 0]
    return jnp.sum(policy * q_values, axis=-1)


def residual(mdp: MDP | DenseMDP, value: ArrayLike, discount: float | Array) -> Array:
    """How far ``value`` is from solving the optimality equation: max_s |(T V)(s) − V(s)|.

    Then ‖V − V*‖∞ ≤ residual / (1 − γ) and ‖T V − V*‖∞ ≤ residual · γ / (1 − γ).
    """
    return jnp.max(jnp.abs(optimal_backup(mdp, value, discount) - jnp.asarray(value)))


def expected_reward(mdp: MDP) -> Array:
    """The expected reward of each action: R(s, a) = Σ_k p_k r_k, ``[S, U]``."""
    return jnp.sum(jnp.asarray(mdp.probability) * jnp.asarray(mdp.reward), axis=-1)


def to_dense(mdp: MDP) -> DenseMDP:
    """The same process with every next state written out; numpy arrays, S²·U numbers."""
    next_state, terminated = np.asarray(mdp.next_state), np.asarray(mdp.terminated)
    probability, reward = np.asarray(mdp.probability), np.asarray(mdp.reward)
    num_states, num_actions, _ = next_state.shape
    transition = np.zeros((num_states, num_actions, num_states), probability.dtype)
    state, action = np.ogrid[:num_states, :num_actions]
    np.add.at(transition, (state[..., None], action[..., None], next_state), np.where(terminated, 0.0, probability))
    return DenseMDP(transition, (probability * reward).sum(-1), np.asarray(mdp.start))


def to_sparse(dense: DenseMDP) -> MDP:
    """The same process as lists of outcomes; numpy arrays. K is the largest number of outcomes of any move.

    Raises UsageError when a row has a negative entry or sums to more than 1.
    """
    transition, reward = np.asarray(dense.transition), np.asarray(dense.reward)
    total = transition.sum(-1)
    if (transition < 0).any() or (total > 1 + 1e-6).any():
        state, action = np.argwhere((transition < 0).any(-1) | (total > 1 + 1e-6))[0]
        raise UsageError(f"transition[{state}, {action}] is no distribution: it sums to {total[state, action]:.6g}")
    ending = np.where(total < 1 - 1e-9, 1 - total, 0.0)[..., None]
    outcomes = np.concatenate([transition, ending], -1)
    width = max(1, int((outcomes > 0).sum(-1).max()))
    chosen = np.argsort(outcomes <= 0, axis=-1, kind="stable")[..., :width]
    num_states = transition.shape[-1]
    terminated = chosen == num_states
    return MDP(
        next_state=np.where(terminated, np.arange(num_states)[:, None, None], chosen).astype(np.int32),
        probability=np.take_along_axis(outcomes, chosen, -1),
        reward=np.broadcast_to(reward[..., None], chosen.shape).copy(),
        terminated=terminated,
        start=np.asarray(dense.start),
    )
