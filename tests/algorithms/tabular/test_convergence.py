"""Learned values against exact ones, solved here from the tables with dense linear algebra."""

import jax
import numpy as np
import pytest

from puzzlebox.algorithms.tabular.dyna_q import DynaQ
from puzzlebox.algorithms.tabular.expected_sarsa import ExpectedSarsa
from puzzlebox.algorithms.tabular.monte_carlo import MonteCarlo
from puzzlebox.algorithms.tabular.q_learning import QLearning
from puzzlebox.algorithms.tabular.sarsa import Sarsa
from puzzlebox.envs import make
from puzzlebox.envs.table import Table, TableWorld
from puzzlebox.types import MDP

DISCOUNT = 0.9


@pytest.fixture(scope="module")
def small():
    """Five states, three actions, three random outcomes each; one outcome in ten ends the episode."""
    rng = np.random.default_rng(0)
    shape = (5, 3, 3)
    mdp = MDP(
        rng.integers(0, 5, shape, dtype=np.int32),
        rng.dirichlet(np.ones(3), shape[:2]),
        rng.normal(size=shape),
        rng.random(shape) < 0.1,
        np.full(5, 0.2),
    )
    return TableWorld(Table(mdp))


def train(algorithm, seed=0):
    state = jax.jit(algorithm.init)(jax.random.key(seed))
    iterations = algorithm.steps // algorithm.iteration_steps
    return jax.jit(lambda s: jax.lax.fori_loop(0, iterations, lambda _, s: algorithm.step(s)[0], s))(state)


def exact_q(mdp, epsilon=0.0, discount=DISCOUNT):
    """Q of the best ε-soft policy (ε = 0: Q*), by policy iteration with dense solves."""
    num_states, num_actions, _ = mdp.next_state.shape
    transition = np.zeros((num_states, num_actions, num_states))
    reward = np.sum(mdp.probability * mdp.reward, axis=-1)
    for s, a, k in np.ndindex(*mdp.next_state.shape):
        if not mdp.terminated[s, a, k]:
            transition[s, a, mdp.next_state[s, a, k]] += mdp.probability[s, a, k]
    best = np.zeros(num_states, int)
    for _ in range(100):
        policy = np.full((num_states, num_actions), epsilon / num_actions)
        policy[np.arange(num_states), best] += 1 - epsilon
        matrix = np.eye(num_states) - discount * np.einsum("sa,sat->st", policy, transition)
        value = np.linalg.solve(matrix, np.sum(policy * reward, axis=1))
        q = reward + discount * transition @ value
        if (best == q.argmax(1)).all():
            return q
        best = q.argmax(1)
    raise AssertionError("policy iteration did not end")


def greedy_path(env, q, limit=100):
    """The states visited and the return of the greedy policy where nothing is random."""
    mdp, state, path, total = env.mdp(), int(np.argmax(env.mdp().start)), [], 0.0
    for _ in range(limit):
        path.append(state)
        move = (state, int(np.argmax(q[state])), 0)
        total += mdp.reward[move]
        if mdp.terminated[move]:
            return path, total
        state = int(mdp.next_state[move])
    raise AssertionError("the greedy policy runs in circles")


def test_q_learning_finds_q_star_while_acting_at_random(small):
    algorithm = QLearning(
        small, steps=3_200_000, num_envs=16, discount=DISCOUNT, learning_rate_decay=0.7, epsilon_end=1.0
    )
    state = train(algorithm)
    np.testing.assert_allclose(state.values.q, exact_q(small.mdp()), atol=0.1)
    assert state.values.visits.sum() == 3_200_000


def test_expected_sarsa_finds_the_best_policy_and_its_value_as_exploration_ends(small):
    algorithm = ExpectedSarsa(
        small, steps=3_200_000, num_envs=16, discount=DISCOUNT, epsilon_end=0.0, epsilon_decay=0.9
    )
    q, best = np.asarray(train(algorithm).values.q), exact_q(small.mdp())
    assert q.argmax(1).tolist() == best.argmax(1).tolist()
    np.testing.assert_allclose(q.max(1), best.max(1), atol=0.15)  # the other actions are no longer tried


@pytest.mark.parametrize("kind", [Sarsa, ExpectedSarsa, MonteCarlo])
def test_on_policy_learners_find_the_values_of_the_policy_that_explores(kind, small):
    steps = {"num_steps": 256} if kind is MonteCarlo else {}
    algorithm = kind(
        small,
        steps=3_200_000,
        num_envs=16,
        discount=DISCOUNT,
        learning_rate_decay=0.8,
        epsilon_start=0.4,
        epsilon_end=0.4,
        **steps,
    )
    q = np.asarray(train(algorithm).values.q)
    mdp = small.mdp()
    assert np.abs(q - exact_q(mdp, 0.4)).max() < 0.1
    assert np.abs(exact_q(mdp) - exact_q(mdp, 0.4)).max() > 0.5  # so it is not Q*


def test_dyna_q_finds_q_star_with_few_steps_and_its_model_is_the_world():
    env = make("grid/robot")
    algorithm = DynaQ(
        env, steps=4_096, num_envs=4, memory=1, discount=DISCOUNT, learning_rate_decay=0.0, epsilon_end=1.0
    )
    state = train(algorithm)
    mdp = env.mdp()
    alive = np.asarray(state.values.visits) > 0
    inside = ~mdp.terminated.all(axis=(1, 2))
    assert (alive == inside[:, None]).all()  # everything was tried, but from goals, holes and walls nobody moves
    np.testing.assert_allclose(np.asarray(state.values.q)[inside], exact_q(mdp)[inside], atol=1e-3)
    for learned, true in ((state.model.next_state, mdp.next_state), (state.model.reward, mdp.reward)):
        np.testing.assert_array_equal(np.asarray(learned)[alive], true[alive])
    np.testing.assert_array_equal(np.asarray(state.model.terminated)[alive], mdp.terminated[alive])


def test_on_the_cliff_q_learning_walks_the_edge_and_sarsa_the_safe_path():
    """Example 6.6 of Sutton & Barto: ε = 0.1, no discount; row 2 of the 4 × 12 cells lies along the cliff."""
    env = make("gym:CliffWalking-v1")
    rules = {"steps": 400_000, "discount": 1.0, "epsilon_start": 0.1, "epsilon_end": 0.1}
    edge, best = greedy_path(env, np.asarray(train(QLearning(env, **rules)).values.q))
    assert best == -13
    assert edge[1:-1] == list(range(24, 35))
    safe, total = greedy_path(env, np.asarray(train(Sarsa(env, **rules)).values.q))
    assert -18 < total < -13
    assert not set(safe) & set(range(25, 35))
