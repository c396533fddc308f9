"""Modified policy iteration: improve the policy, evaluate it by a few sweeps, repeat (Puterman & Shin 1978).

    π ← argmax_a q(s, a),   V ← T_π^m T V

Between value iteration (m = 0) and policy iteration (m = ∞).
"""

from __future__ import annotations

import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.algorithms.tabular.certificate import certify, residual_target
from puzzlebox.algorithms.tabular.exact import Solution
from puzzlebox.ops import bellman
from puzzlebox.types import MDP, Array


def modified_policy_iteration(
    mdp: MDP, discount: float, tolerance: float = 1e-6, sweeps: int = 10, max_iterations: int = 100_000
) -> Solution:
    """The optimal values of ``mdp``, none wrong by more than ``tolerance``; ``sweeps`` is m.

    Raises UsageError for γ outside [0, 1], values that are not finite (γ = 1), or a tolerance float64 cannot reach.
    """
    started = time.perf_counter()
    target = residual_target(mdp, discount, tolerance)
    with jax.enable_x64(True):
        tables = jax.device_put(mdp)
        values = jnp.zeros(len(mdp.next_state), jnp.float64)
        compile_started = time.perf_counter()
        improve = _improve.lower(tables, values, discount, target, sweeps, max_iterations).compile()
        compile_seconds = time.perf_counter() - compile_started
        iterations = 0

        def continue_to(values: np.ndarray, target: float) -> np.ndarray:
            nonlocal iterations
            left = max_iterations - iterations
            improved, count = improve(tables, jnp.asarray(values), discount, target, sweeps, left)
            iterations += int(count)
            return np.asarray(improved)

        proof = certify(mdp, discount, tolerance, target, np.zeros(len(mdp.next_state)), continue_to)
    found, q_values, policy, residual, bound = proof
    seconds = time.perf_counter() - started
    method = "modified_policy_iteration"
    return Solution(found, q_values, policy, discount, method, iterations, residual, bound, compile_seconds, seconds)


@jax.jit
def _improve(
    mdp: MDP, values: Array, discount: Array, target: Array, sweeps: Array, limit: Array
) -> tuple[Array, Array]:
    """Rounds until T V differs from V by at most ``target`` (or as little as float64 can tell)."""

    def unsettled(carry: tuple[Array, Array, Array]) -> Array:
        values, change, count = carry
        rounding = 8 * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values))
        return (change > jnp.maximum(target, rounding)) & (count < limit)

    def once(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        values, _, count = carry
        q_values = bellman.action_values(mdp, values, discount)
        policy, improved = bellman.greedy(q_values), jnp.max(q_values, axis=-1)
        change = jnp.max(jnp.abs(improved - values))
        wanted = jnp.where(change > target, sweeps, 0)  # the last round is T V itself, to which the bound applies
        evaluate = partial(bellman.policy_backup, mdp, discount=discount, policy=policy)
        return jax.lax.fori_loop(0, wanted, lambda _, v: evaluate(v), improved), change, count + 1

    start = (values, jnp.asarray(jnp.inf), jnp.asarray(0))
    values, _, count = jax.lax.while_loop(unsettled, once, start)
    return values, count
