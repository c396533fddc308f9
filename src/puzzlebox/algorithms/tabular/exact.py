"""Exact answers about a known MDP: what a policy is worth, whether it is optimal, what a plan of moves brings.

All figures are float64. A policy's value solves the linear system (I − γ P_π) V = R_π (Puterman 1994, section 6.1),
here by a sparse direct solver. With γ = 1 it exists only where the episode ends with certainty or all further rewards
are 0; anything else raises a UsageError that names a state.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from puzzlebox.errors import UsageError
from puzzlebox.ops import bellman
from puzzlebox.types import MDP, ArrayLike

_q_table = jax.jit(bellman.action_values)


class Unsolvable(UsageError):
    """A world without exact values; ``text`` says PLACE where the message names ``state``."""

    def __init__(self, text: str, state: int) -> None:
        super().__init__(text.replace("PLACE", f"state {state}"))
        self.text, self.state = text, state

    def on_map(self, width: int) -> UsageError:
        """The same with row and column of a map so wide, both from 0, as paths are written."""
        row, column = divmod(self.state, width)
        return UsageError(self.text.replace("PLACE", f"cell {row},{column} (row, column from 0)"))


class Solution(NamedTuple):
    """The optimal values and policy of an MDP, with the proof of how exact they are.

    ``residual`` is max |T V − V| of the returned values. No value errs by more than ``error_bound``, which is
    residual / (1 − γ), or with γ = 1 residual × (longest expected episode of ``policy``).
    """

    values: np.ndarray  # float64 [S]
    q_values: np.ndarray  # float64 [S, U]
    policy: np.ndarray  # int32 [S]
    discount: float
    method: str
    iterations: int
    residual: float
    error_bound: float
    compile_seconds: float
    seconds: float


class PolicyCheck(NamedTuple):
    """Whether a policy is optimal. ``loss``: V*(s) − V^π(s); ``mistakes``: states whose action is not a best one."""

    optimal: bool
    values: np.ndarray  # float64 [S], V^π
    loss: np.ndarray  # float64 [S]
    mistakes: np.ndarray  # int [M], the states
    start_loss: float


class PlanOutcome(NamedTuple):
    """The expected outcome of a fixed list of actions, played to its end whatever happens."""

    expected_return: float
    end_probability: float  # the episode has ended by the end of the plan
    reward_probability: dict[float, float]  # last reward -> probability, of the episodes that ended
    expected_steps: float


def check_discount(discount: float) -> None:
    """Raises UsageError unless 0 ≤ γ ≤ 1."""
    if not 0.0 <= discount <= 1.0:
        raise UsageError(f"gamma is {discount}; it must lie between 0 and 1")


def q_table(mdp: MDP, values: ArrayLike, discount: float) -> np.ndarray:
    """The action values [S, U] that follow from ``values`` [S], in float64."""
    with jax.enable_x64(True):
        return np.asarray(_q_table(mdp, values, discount))


def check_rewards(mdp: MDP) -> None:
    """Raises Unsolvable where a reward is NaN or infinite."""
    strange = np.argwhere(~np.isfinite(np.asarray(mdp.reward)))
    if len(strange):
        state, action, _ = place = tuple(strange[0].tolist())
        found = f"PLACE, action {action} has the reward {np.asarray(mdp.reward)[place]}"
        raise Unsolvable(f"{found}; rewards must be finite: forbid a move by a large loss, like -1e6", state)


def evaluate_policy(mdp: MDP, policy: ArrayLike, discount: float) -> np.ndarray:
    """V^π in float64 [S], for a policy int [S] or float [S, U].

    Raises UsageError for γ = 1 where the policy may go on for ever and be paid for it.
    """
    check_discount(discount)
    reward, transition = policy_process(mdp, policy)
    # The states with a linear system to solve; with γ = 1 those that certainly reach the end, the others are worth 0.
    solved = np.ones(len(reward), bool)
    if discount == 1.0:
        solved = reaches_end(transition)
        if (reward[~solved] != 0).any():
            state = int(np.flatnonzero(~solved & (reward != 0))[0])
            raise Unsolvable(
                "with gamma 1 this policy has no value: from PLACE it never ends; use gamma below 1", state
            )
    values = np.zeros(len(reward))
    inside = transition[solved][:, solved]
    system = sparse.eye_array(inside.shape[0], format="csc") - discount * inside.tocsc()
    values[solved] = splu(system).solve(reward[solved]) if solved.any() else 0.0
    return values


def policy_process(mdp: MDP, policy: ArrayLike) -> tuple[np.ndarray, sparse.csr_array]:
    """The Markov chain under a policy: expected reward [S], and transitions [S, S] whose missing weight is the end."""
    probability, reward = np.asarray(mdp.probability, np.float64), np.asarray(mdp.reward, np.float64)
    next_state, policy = np.asarray(mdp.next_state), np.asarray(policy)
    num_states = len(next_state)
    staying = np.where(np.asarray(mdp.terminated), 0.0, probability)
    if policy.ndim == 1:
        chosen = (np.arange(num_states), policy)
        reward = (probability[chosen] * reward[chosen]).sum(-1)
        staying, next_state = staying[chosen], next_state[chosen]
    else:
        reward = np.einsum("sa,sak,sak->s", policy, probability, reward)
        staying = (policy[..., None] * staying).reshape(num_states, -1)
        next_state = next_state.reshape(num_states, -1)
    bounds = np.arange(0, staying.size + 1, staying.shape[1])
    transition = sparse.csr_array((staying.ravel(), next_state.ravel(), bounds), shape=(num_states, num_states))
    transition.sum_duplicates()
    transition.eliminate_zeros()
    return reward, transition


def reaches_end(transition: sparse.csr_array) -> np.ndarray:
    """Which states of a chain reach the end with certainty sooner or later; bool [S].

    Those are the states that cannot get to a state from which the end is out of reach.
    """
    ending = np.asarray(transition.sum(axis=1)).ravel() < 1 - 1e-9
    can_end = _closure(transition, ending)
    return ~_closure(transition, ~can_end)


def _closure(transition: sparse.csr_array, target: np.ndarray) -> np.ndarray:
    """The states from which ``target`` can be reached, itself included; both bool [S]."""
    backward = transition.T.tocsr()
    reached, frontier = target.copy(), target
    while frontier.any():
        frontier = (backward.T[:, np.flatnonzero(frontier)].sum(axis=1) > 0) & ~reached
        reached |= frontier
    return reached


def check_policy(mdp: MDP, policy: ArrayLike, best: Solution, tolerance: float = 1e-6) -> PolicyCheck:
    """Whether ``policy`` (int [S] or float [S, U]) is optimal, where it is not, and what that costs.

    A state is a mistake where an action the policy takes is worth less than the best one by more than ``tolerance``.
    Losses count only where something follows: states nobody can move from have none.
    """
    policy = np.asarray(policy)
    values = evaluate_policy(mdp, policy, best.discount)
    loss = np.maximum(best.values - values, 0.0)
    regret = best.q_values.max(-1, keepdims=True) - best.q_values
    used = np.arange(regret.shape[1]) == policy[:, None] if policy.ndim == 1 else policy > 0
    mistakes = np.flatnonzero((used & (regret > tolerance)).any(-1))
    return PolicyCheck(len(mistakes) == 0, values, loss, mistakes, float(np.asarray(mdp.start) @ loss))


def play_plan(mdp: MDP, state: int, actions: ArrayLike, discount: float) -> PlanOutcome:
    """The exact outcome of a fixed list of actions from ``state``: E[Σ γ^t r_t], over all ways the moves can slip.

    The plan is blind: a move that slips does not change the moves after it.
    """
    probability, reward = np.asarray(mdp.probability, np.float64), np.asarray(mdp.reward, np.float64)
    terminated, next_state = np.asarray(mdp.terminated), np.asarray(mdp.next_state)
    # The probability of being in each state with the episode still running.
    weight = np.zeros(len(next_state))
    weight[state] = 1.0
    total, steps, last = 0.0, 0.0, dict[float, float]()
    for time, action in enumerate(np.asarray(actions)):
        flow = weight[:, None] * probability[:, action]
        steps += float(weight.sum())
        total += discount**time * float((flow * reward[:, action]).sum())
        ended = terminated[:, action] & (flow > 0)
        for paid in np.unique(reward[:, action][ended]):
            share = float(flow[ended & (reward[:, action] == paid)].sum())
            last[float(paid)] = last.get(float(paid), 0.0) + share
        following = np.where(ended, 0.0, flow)
        weight = np.bincount(next_state[:, action].ravel(), following.ravel(), len(next_state)).astype(np.float64)
    return PlanOutcome(total, 1 - float(weight.sum()), last, steps)
