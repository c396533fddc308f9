"""Modified policy iteration: improve the policy, evaluate it by a few sweeps, repeat (Puterman & Shin 1978).

    π ← argmax_a q(s, a),   V ← T_π^m T V

Between value iteration (m = 0) and policy iteration (m = ∞).
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from puzzlebox.algorithms.tabular.certificate import solve_by_sweeps, unsettled
from puzzlebox.algorithms.tabular.exact import Solution
from puzzlebox.ops import bellman
from puzzlebox.types import MDP, Array


def modified_policy_iteration(
    mdp: MDP, discount: float, tolerance: float = 1e-6, sweeps: int = 10, max_iterations: int = 100_000
) -> Solution:
    """The optimal values of ``mdp``, none wrong by more than ``tolerance``; ``sweeps`` is m.

    Raises UsageError for γ outside [0, 1], values that are not finite (γ = 1), or a tolerance float64 cannot reach.
    """
    return solve_by_sweeps("modified_policy_iteration", mdp, discount, tolerance, _improve, max_iterations, sweeps)


@jax.jit
def _improve(
    mdp: MDP, values: Array, discount: Array, target: Array, limit: Array, sweeps: Array
) -> tuple[Array, Array]:
    """Rounds until T V differs from V by at most ``target`` (or as little as float64 can tell)."""

    def once(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        values, _, count = carry
        q_values = bellman.action_values(mdp, values, discount)
        policy, improved = bellman.greedy(q_values), jnp.max(q_values, axis=-1)
        change = jnp.max(jnp.abs(improved - values))
        wanted = jnp.where(change > target, sweeps, 0)  # the last round is T V itself, to which the bound applies
        evaluate = partial(bellman.policy_backup, mdp, discount=discount, policy=policy)
        return jax.lax.fori_loop(0, wanted, lambda _, v: evaluate(v), improved), change, count + 1

    start = (values, jnp.asarray(jnp.inf), jnp.asarray(0))
    values, _, count = jax.lax.while_loop(lambda carry: unsettled(*carry, target, limit), once, start)
    return values, count
