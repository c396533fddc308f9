"""One peer solver on a saved MDP, in its own process: ``python solve_peers.py PEER:METHOD problem.npz answer.npz``.

Times what a user waits for, from arrays in memory to values: conversion to the peer's own form, then the solver. A
terminated outcome leads to one more state that pays nothing and leads to itself, as neither library knows ends.
"""

import sys
import time
import warnings

import numpy as np


def with_end(tables: dict) -> tuple:
    """(next_state, probability, expected reward) with the state of the end added as the last one."""
    next_state, probability = tables["next_state"], tables["probability"]
    num_states, num_actions, width = next_state.shape
    following = np.where(tables["terminated"], num_states, next_state)
    following = np.concatenate([following, np.full((1, num_actions, width), num_states)]).astype(np.int64)
    last = np.zeros((1, num_actions, width))
    last[..., 0] = 1.0
    reward = np.concatenate([(probability * tables["reward"]).sum(-1), np.zeros((1, num_actions))])
    return following, np.concatenate([probability, last]), reward


def quantecon(method: str, following, probability, reward, discount: float, tolerance: float):
    from quantecon.markov import DiscreteDP
    from scipy import sparse

    started = time.perf_counter()
    num_states, num_actions, width = following.shape
    rows = num_states * num_actions
    bounds = np.arange(0, rows * width + 1, width)
    transition = sparse.csr_matrix((probability.ravel(), following.ravel(), bounds), shape=(rows, num_states))
    states, actions = np.divmod(np.arange(rows), num_actions)
    problem = DiscreteDP(reward.ravel(), transition, discount, states, actions)
    converted = time.perf_counter()
    # Its values are within epsilon / 2 of the optimal ones.
    result = problem.solve(method=method, epsilon=2 * tolerance, max_iter=100_000)
    return result.v, result.num_iter, converted - started, time.perf_counter() - converted


def mdpsolver(method: str, following, probability, reward, discount: float, tolerance: float):
    import mdpsolver as library

    started = time.perf_counter()
    model = library.model()
    model.mdp(
        discount=discount,
        rewards=reward.tolist(),
        tranMatProbs=probability.tolist(),
        tranMatColumns=following.tolist(),
    )
    converted = time.perf_counter()
    # On two cores its parallel mode is many times slower than its serial one.
    model.solve(algorithm=method, tolerance=tolerance, parallel=False)
    solved = time.perf_counter()
    return np.array(model.getValueVector()), -1, converted - started, solved - converted


def main() -> None:
    warnings.simplefilter("ignore")
    name, problem, answer = sys.argv[1:]
    library, _, method = name.partition(":")
    with np.load(problem) as saved:
        tables = dict(saved)
    solver = {"quantecon": quantecon, "mdpsolver": mdpsolver}[library]
    discount, tolerance = float(tables["discount"]), float(tables["tolerance"])
    parts = with_end(tables)
    if library == "quantecon":  # compiles numba's functions before the clock starts
        small = (np.array([[[0], [1]], [[1], [1]]]), np.ones((2, 2, 1)), np.zeros((2, 2)))
        solver(method, *small, 0.5, 1e-3)
    values, iterations, conversion, seconds = solver(method, *parts, discount, tolerance)
    np.savez(answer, values=values[:-1], iterations=iterations, conversion=conversion, seconds=seconds)


if __name__ == "__main__":
    main()
