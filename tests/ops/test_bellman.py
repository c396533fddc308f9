"""Backups against sums written out by hand and by brute-force loops."""

import jax
import numpy as np
import pytest

from puzzlebox.errors import UsageError
from puzzlebox.ops import bellman
from puzzlebox.types import MDP

# State 0: action 0 stays (reward 1), action 1 goes to state 1 with 0.75 (reward 2) or ends with 0.25 (reward 10).
# State 1: action 0 ends (reward 4), action 1 goes to state 0 (reward -1).
TWO = MDP(
    next_state=np.array([[[0, 0], [1, 0]], [[1, 1], [0, 0]]], np.int32),
    probability=np.array([[[1.0, 0.0], [0.75, 0.25]], [[1.0, 0.0], [1.0, 0.0]]]),
    reward=np.array([[[1.0, 99.0], [2.0, 10.0]], [[4.0, 0.0], [-1.0, 0.0]]]),
    terminated=np.array([[[False, False], [False, True]], [[True, False], [False, False]]]),
    start=np.array([1.0, 0.0]),
)
VALUE = np.array([8.0, 20.0])


def random_mdp(seed: int, num_states: int = 7, num_actions: int = 3, width: int = 4) -> MDP:
    random = np.random.default_rng(seed)
    shape = (num_states, num_actions, width)
    probability = random.random(shape)
    return MDP(
        random.integers(0, num_states, shape).astype(np.int32),
        probability / probability.sum(-1, keepdims=True),
        random.normal(size=shape),
        random.random(shape) < 0.2,
        np.full(num_states, 1 / num_states),
    )


def by_loops(mdp: MDP, value: np.ndarray, discount: float) -> np.ndarray:
    num_states, num_actions, width = mdp.next_state.shape
    q = np.zeros((num_states, num_actions))
    for s in range(num_states):
        for a in range(num_actions):
            for k in range(width):
                after = 0.0 if mdp.terminated[s, a, k] else discount * value[mdp.next_state[s, a, k]]
                q[s, a] += mdp.probability[s, a, k] * (mdp.reward[s, a, k] + after)
    return q


def test_action_values_by_hand():
    # q(0,0) = 1 + 0.5·8; q(0,1) = 0.75 (2 + 0.5·20) + 0.25·10; q(1,0) = 4; q(1,1) = −1 + 0.5·8
    np.testing.assert_allclose(bellman.action_values(TWO, VALUE, 0.5), [[5.0, 11.5], [4.0, 3.0]], rtol=1e-6)
    np.testing.assert_array_equal(bellman.greedy(bellman.action_values(TWO, VALUE, 0.5)), [1, 0])
    np.testing.assert_allclose(bellman.optimal_backup(TWO, VALUE, 0.5), [11.5, 4.0], rtol=1e-6)
    assert float(bellman.residual(TWO, VALUE, 0.5)) == pytest.approx(16.0)


def test_policy_backups_by_hand():
    np.testing.assert_allclose(bellman.policy_backup(TWO, VALUE, 0.5, np.array([0, 1])), [5.0, 3.0], rtol=1e-6)
    mixed = np.array([[0.5, 0.5], [0.25, 0.75]])
    np.testing.assert_allclose(bellman.policy_backup(TWO, VALUE, 0.5, mixed), [8.25, 3.25], rtol=1e-6)


def test_the_first_of_equal_actions_is_chosen():
    np.testing.assert_array_equal(bellman.greedy(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])), [1, 0])


@pytest.mark.parametrize("seed", range(3))
def test_sparse_equals_loops_and_dense(seed):
    mdp = random_mdp(seed)
    value = np.random.default_rng(seed + 100).normal(size=7)
    with jax.enable_x64(True):
        expected = by_loops(mdp, value, 0.9)
        np.testing.assert_allclose(bellman.action_values(mdp, value, 0.9), expected, rtol=1e-12)
        dense = bellman.to_dense(mdp)
        np.testing.assert_allclose(bellman.action_values(dense, value, 0.9), expected, rtol=1e-12)
        back = bellman.to_sparse(dense)
        np.testing.assert_allclose(bellman.action_values(back, value, 0.9), expected, rtol=1e-12)
        np.testing.assert_allclose(back.probability.sum(-1), 1.0)


def test_dense_rows_that_sum_to_less_end_the_episode():
    dense = bellman.to_dense(TWO)
    np.testing.assert_allclose(dense.transition[0, 1], [0.0, 0.75])
    np.testing.assert_allclose(dense.transition[1, 0], [0.0, 0.0])
    np.testing.assert_allclose(dense.reward, [[1.0, 4.0], [4.0, -1.0]])


def test_a_table_that_is_no_distribution_is_refused():
    dense = bellman.DenseMDP(np.array([[[0.8, 0.4]], [[0.0, 1.0]]]), np.zeros((2, 1)), np.array([1.0, 0.0]))
    with pytest.raises(UsageError, match=r"transition\[0, 0\].*1.2"):
        bellman.to_sparse(dense)
