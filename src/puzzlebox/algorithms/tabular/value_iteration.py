"""Value iteration: V ← T V until the values settle (Bellman 1957; Puterman 1994, section 6.3).

    (T V)(s) = max_a Σ_k p_k (r_k + γ V(s_k))

Stops when max |T V − V| ≤ tolerance · (1 − γ), so that no returned value errs by more than the tolerance. The whole
loop is one compiled program in float64.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from puzzlebox.algorithms.tabular.certificate import solve_by_sweeps, unsettled
from puzzlebox.algorithms.tabular.exact import Solution
from puzzlebox.ops import bellman
from puzzlebox.types import MDP, Array


def value_iteration(mdp: MDP, discount: float, tolerance: float = 1e-6, max_iterations: int = 1_000_000) -> Solution:
    """The optimal values of ``mdp``, none wrong by more than ``tolerance``.

    Raises UsageError for γ outside [0, 1], values that are not finite (γ = 1), or a tolerance float64 cannot reach.
    """
    return solve_by_sweeps("value_iteration", mdp, discount, tolerance, _sweep, max_iterations)


@jax.jit
def _sweep(mdp: MDP, values: Array, discount: Array, target: Array, limit: Array) -> tuple[Array, Array]:
    """Sweeps until the values move by at most ``target`` (or as little as float64 can tell), ``limit`` at the most."""

    def once(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        values, _, count = carry
        swept = bellman.optimal_backup(mdp, values, discount)
        return swept, jnp.max(jnp.abs(swept - values)), count + 1

    start = (values, jnp.asarray(jnp.inf), jnp.asarray(0))
    values, _, count = jax.lax.while_loop(lambda carry: unsettled(*carry, target, limit), once, start)
    return values, count
