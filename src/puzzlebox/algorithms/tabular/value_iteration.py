"""Value iteration: V ← T V until the values settle (Bellman 1957; Puterman 1994, section 6.3).

    (T V)(s) = max_a Σ_k p_k (r_k + γ V(s_k))

Stops when max |T V − V| ≤ tolerance · (1 − γ), so that no returned value errs by more than the tolerance. The whole
loop is one compiled program in float64.
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.algorithms.tabular.certificate import certify, residual_target
from puzzlebox.algorithms.tabular.exact import Solution
from puzzlebox.ops import bellman
from puzzlebox.types import MDP, Array


def value_iteration(mdp: MDP, discount: float, tolerance: float = 1e-6, max_iterations: int = 1_000_000) -> Solution:
    """The optimal values of ``mdp``, none wrong by more than ``tolerance``.

    Raises UsageError for γ outside [0, 1], values that are not finite (γ = 1), or a tolerance float64 cannot reach.
    """
    started = time.perf_counter()
    target = residual_target(mdp, discount, tolerance)
    with jax.enable_x64(True):
        tables = jax.device_put(mdp)
        values = jnp.zeros(len(mdp.next_state), jnp.float64)
        compile_started = time.perf_counter()
        sweep = _sweep.lower(tables, values, discount, target, max_iterations).compile()
        compile_seconds = time.perf_counter() - compile_started
        iterations = 0

        def continue_to(values: np.ndarray, target: float) -> np.ndarray:
            nonlocal iterations
            swept, count = sweep(tables, jnp.asarray(values), discount, target, max_iterations - iterations)
            iterations += int(count)
            return np.asarray(swept)

        proof = certify(mdp, discount, tolerance, target, np.zeros(len(mdp.next_state)), continue_to)
    found, q_values, policy, residual, bound = proof
    seconds = time.perf_counter() - started
    return Solution(
        found, q_values, policy, discount, "value_iteration", iterations, residual, bound, compile_seconds, seconds
    )


@jax.jit
def _sweep(mdp: MDP, values: Array, discount: Array, target: Array, limit: Array) -> tuple[Array, Array]:
    """Sweeps until the values move by at most ``target`` (or as little as float64 can tell), ``limit`` at the most."""

    def unsettled(carry: tuple[Array, Array, Array]) -> Array:
        values, change, count = carry
        rounding = 8 * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values))
        return (change > jnp.maximum(target, rounding)) & (count < limit)

    def once(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        values, _, count = carry
        swept = bellman.optimal_backup(mdp, values, discount)
        return swept, jnp.max(jnp.abs(swept - values)), count + 1

    start = (values, jnp.asarray(jnp.inf), jnp.asarray(0))
    values, _, count = jax.lax.while_loop(unsettled, once, start)
    return values, count
