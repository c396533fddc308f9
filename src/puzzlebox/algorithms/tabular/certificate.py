"""When a solver may stop: bounds on the distance from V* that hold in float64.

    γ < 1:  ‖V − V*‖∞ ≤ max |T V − V| / (1 − γ)                       (Puterman 1994, theorem 6.3.1)
    γ = 1:  |V − V^π| ≤ max |T V − V| · (longest expected episode of the greedy π)

With γ = 1 ties need care: "stay here for ever" can look as good as "go to the goal" (by the optimality equation both
are worth the goal's value), so among equally good actions one that leads to an end is chosen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from puzzlebox.algorithms.tabular.exact import (
    Solution,
    Unsolvable,
    check_discount,
    check_rewards,
    policy_process,
    reaches_end,
)
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.ops import bellman
from puzzlebox.types import MDP, Array


class Proof(NamedTuple):
    """Values with the bound on their error, as in `Solution`."""

    values: np.ndarray  # float64 [S]
    q_values: np.ndarray  # float64 [S, U]
    policy: np.ndarray  # int32 [S]
    residual: float
    error_bound: float


def residual_target(mdp: MDP, discount: float, tolerance: float) -> float:
    """The residual to aim at first, so that the values err by at most ``tolerance``.

    With γ = 1 the bound depends on the policy that is found, so this is a guess, which `certify` lowers where needed.
    Raises UsageError for a bad γ or tolerance, for rewards that are not finite, and for γ = 1 where no end is in reach
    of a state that is paid.
    """
    check_discount(discount)
    if not tolerance > 0:
        raise UsageError(f"tolerance is {tolerance}; it must be above 0")
    check_rewards(mdp)
    if discount < 1.0:
        return tolerance * (1 - discount)
    possible = np.asarray(mdp.probability) > 0
    paid = (possible & (np.asarray(mdp.reward) != 0)).any((1, 2))
    # With γ = 1 a state that is paid but never reaches an end may have an infinite value.
    hopeless = _lead_to_end(mdp, np.ones(possible.shape[:2], bool)) < 0
    if (hopeless & paid).any():
        state = int(np.flatnonzero(hopeless & paid)[0])
        raise Unsolvable("with gamma 1 PLACE has no finite value: it never reaches an end; use gamma below 1", state)
    return tolerance / 100


def certify(
    mdp: MDP,
    discount: float,
    tolerance: float,
    target: float,
    values: np.ndarray,
    continue_to: Callable[[np.ndarray, float], np.ndarray],
) -> Proof:
    """Runs ``continue_to(values, residual)`` until the error bound is within ``tolerance``.

    ``continue_to`` improves values [S] until their residual is as small as it is told; ``target`` is the first such
    residual. It is lowered as long as that still helps. Raises UsageError where float64 cannot reach the tolerance,
    PuzzleboxError where the values did not settle.
    """
    residual, before = np.inf, np.inf
    while residual == np.inf or residual < 0.9 * before:
        before = residual
        values = continue_to(values, target)
        proof = prove(mdp, values, discount)
        residual, bound = proof.residual, proof.error_bound
        if bound <= tolerance:
            return proof
        target = min(target / 4, 0.5 * target * tolerance / bound)
    if residual > 1e-9 * np.abs(values).max():
        hint = "; with gamma 1 they may have no limit, so use gamma below 1" if discount == 1.0 else ""
        raise PuzzleboxError(f"the values had not settled when the sweeps ran out (residual {residual:.2g}){hint}")
    raise UsageError(f"tolerance {tolerance:g} is finer than float64 can prove here; ask for {2 * bound:.0e} or more")


def solve_by_sweeps(
    method: str, mdp: MDP, discount: float, tolerance: float, sweep: Any, max_iterations: int, *settings: Any
) -> Solution:
    """The solution that a jitted ``sweep(mdp, values, discount, target, limit, *settings) -> (values, count)`` finds.

    ``sweep`` improves values [S] until `unsettled` is False and counts its rounds; ``method`` names it. Raises as
    `residual_target` and `certify`.
    """
    started = time.perf_counter()
    target = residual_target(mdp, discount, tolerance)
    with jax.enable_x64(True):
        tables = jax.device_put(mdp)
        values = jnp.zeros(len(mdp.next_state), jnp.float64)
        compile_started = time.perf_counter()
        compiled = sweep.lower(tables, values, discount, target, max_iterations, *settings).compile()
        compile_seconds = time.perf_counter() - compile_started
        iterations = 0

        def continue_to(values: np.ndarray, target: float) -> np.ndarray:
            nonlocal iterations
            left = max_iterations - iterations
            swept, count = compiled(tables, jnp.asarray(values), discount, target, left, *settings)
            iterations += int(count)
            return np.asarray(swept)

        proof = certify(mdp, discount, tolerance, target, np.zeros(len(mdp.next_state)), continue_to)
    found, q_values, policy, residual, bound = proof
    seconds = time.perf_counter() - started
    return Solution(found, q_values, policy, discount, method, iterations, residual, bound, compile_seconds, seconds)


def unsettled(values: Array, change: Array, count: Array, target: Array, limit: Array) -> Array:
    """Whether another round is due: the last changed values by more than ``target``, or than float64 can tell."""
    rounding = 8 * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values))
    return (change > jnp.maximum(target, rounding)) & (count < limit)


def prove(mdp: MDP, values: np.ndarray, discount: float) -> Proof:
    """The action values, policy, residual and error bound that belong to ``values``."""
    with jax.enable_x64(True):
        q_values, greedy, worst = map(np.asarray, _residual(mdp, values, discount))
    # Rounding in the sum over K outcomes may hide part of the residual; the most that it can hide is added.
    hidden = (mdp.next_state.shape[-1] + 2) * np.finfo(np.float64).eps * np.abs(q_values).max()
    residual = float(worst + hidden)
    if discount < 1.0:
        return Proof(values, q_values, greedy, residual, residual / (1 - discount))
    policy = proper_greedy(mdp, q_values, slack=max(2 * residual, 1e-12 * float(np.abs(values).max())))
    return Proof(values, q_values, policy, residual, residual * _longest_episode(mdp, policy))


@jax.jit
def _residual(mdp: MDP, values: Array, discount: Array) -> tuple[Array, Array, Array]:
    """Action values [S, U], the greedy policy [S], and max |T V − V|."""
    q_values = bellman.action_values(mdp, values, discount)
    return q_values, bellman.greedy(q_values), jnp.max(jnp.abs(jnp.max(q_values, axis=-1) - values))


def proper_greedy(mdp: MDP, q_values: np.ndarray, slack: float) -> np.ndarray:
    """A best action per state, within ``slack``, chosen so that it leads to an end wherever one can; int32 [S]."""
    near_best = q_values >= q_values.max(-1, keepdims=True) - slack
    leading = _lead_to_end(mdp, near_best)
    return np.where(leading >= 0, leading, q_values.argmax(-1)).astype(np.int32)


def _lead_to_end(mdp: MDP, allowed: np.ndarray) -> np.ndarray:
    """Per state an allowed action that gets nearer to an end, −1 where there is none; int [S].

    States are settled in rounds: those with an outcome that ends, then those with an outcome in a settled state.
    """
    possible = (np.asarray(mdp.probability) > 0) & allowed[..., None]
    next_state, terminated = np.asarray(mdp.next_state), np.asarray(mdp.terminated)
    action = np.full(len(next_state), -1)
    while True:
        nearer = (possible & (terminated | (action >= 0)[next_state])).any(-1)
        fresh = (action < 0) & nearer.any(-1)
        if not fresh.any():
            return action
        action[fresh] = nearer[fresh].argmax(-1)


def _longest_episode(mdp: MDP, policy: np.ndarray) -> float:
    """The largest expected number of steps to the end, over the states that reach one under ``policy``."""
    _, transition = policy_process(mdp, policy)
    inside = reaches_end(transition)
    if not inside.any():
        return 1.0
    chain = transition[inside][:, inside]
    return float(splu((sparse.eye_array(chain.shape[0]) - chain).tocsc()).solve(np.ones(chain.shape[0])).max())
