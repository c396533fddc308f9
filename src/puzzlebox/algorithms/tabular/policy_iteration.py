"""Policy iteration: evaluate the policy exactly, act greedily on its values, until nothing changes (Howard 1960).

    V_n = (I − γ P_π)⁻¹ R_π,   π ← argmax_a q_n(s, a)

An action is replaced only by one that is better by more than rounding, so that ties cannot make it cycle. With γ = 1 it
starts from a policy that reaches an end wherever one can be reached.
"""

from __future__ import annotations

import time

import numpy as np

from puzzlebox.algorithms.tabular.certificate import proper_greedy, prove, residual_target
from puzzlebox.algorithms.tabular.exact import Solution, evaluate_policy, q_table
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.types import MDP


def policy_iteration(mdp: MDP, discount: float, tolerance: float = 1e-6, max_iterations: int = 1000) -> Solution:
    """The optimal values of ``mdp``, none wrong by more than ``tolerance`` (and as a rule by rounding only).

    Raises UsageError for γ outside [0, 1], values that are not finite (γ = 1), or a tolerance float64 cannot reach.
    """
    started = time.perf_counter()
    residual_target(mdp, discount, tolerance)  # only for its checks
    zeros = np.zeros(len(mdp.next_state))
    q_values = q_table(mdp, zeros, discount)
    policy = proper_greedy(mdp, q_values, np.inf) if discount == 1.0 else q_values.argmax(-1)
    states = np.arange(len(policy))
    iterations, settled = 0, False
    while not settled:
        if iterations == max_iterations:
            raise PuzzleboxError(f"policy iteration still changes the policy after {max_iterations} rounds")
        iterations += 1
        values = evaluate_policy(mdp, policy, discount)
        q_values = q_table(mdp, values, discount)
        gain = q_values.max(-1) - q_values[states, policy]
        better = gain > 1e-12 * max(1.0, float(np.abs(values).max()))
        settled = not better.any()
        policy = np.where(better, q_values.argmax(-1), policy)
    values, q_values, policy, residual, bound = prove(mdp, values, discount)
    if bound > tolerance:
        raise UsageError(
            f"tolerance {tolerance:g} is finer than float64 can prove here; ask for {2 * bound:.0e} or more"
        )
    seconds = time.perf_counter() - started
    return Solution(values, q_values, policy, discount, "policy_iteration", iterations, residual, bound, 0.0, seconds)
