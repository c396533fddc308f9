"""Solvers against enumeration of every policy, textbook numbers, and sums written out by hand."""

import itertools

import gymnasium
import numpy as np
import pytest

from puzzlebox.algorithms.tabular.exact import check_policy, evaluate_policy, play_plan
from puzzlebox.algorithms.tabular.modified_policy_iteration import modified_policy_iteration
from puzzlebox.algorithms.tabular.ordered_value_iteration import ordered_value_iteration
from puzzlebox.algorithms.tabular.policy_iteration import policy_iteration
from puzzlebox.algorithms.tabular.value_iteration import value_iteration
from puzzlebox.envs import make
from puzzlebox.envs.gridworld import from_text
from puzzlebox.envs.gymnasium_table import mdp_from_gymnasium
from puzzlebox.errors import UsageError
from puzzlebox.types import MDP

SOLVERS = [value_iteration, policy_iteration, modified_policy_iteration, ordered_value_iteration]
NORTH, EAST, SOUTH, WEST = range(4)


def small_mdp(seed: int) -> MDP:
    random = np.random.default_rng(seed)
    shape = (4, 3, 3)
    probability = random.dirichlet(np.ones(3), shape[:2])
    ends = random.random(shape) < 0.15
    ends[..., 0] = True  # every move may be the last one, so that values exist with γ = 1 too
    return MDP(
        random.integers(0, 4, shape).astype(np.int32), probability, random.normal(size=shape), ends, np.eye(4)[0]
    )


def value_of(mdp: MDP, policy: tuple[int, ...], discount: float) -> np.ndarray:
    size = len(policy)
    matrix, reward = np.eye(size), np.zeros(size)
    for s, a in enumerate(policy):
        for k in range(mdp.next_state.shape[2]):
            reward[s] += mdp.probability[s, a, k] * mdp.reward[s, a, k]
            if not mdp.terminated[s, a, k]:
                matrix[s, mdp.next_state[s, a, k]] -= discount * mdp.probability[s, a, k]
    return np.linalg.solve(matrix, reward)


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize(("seed", "discount"), [(0, 0.9), (1, 0.99), (2, 0.0), (3, 1.0)])
def test_no_policy_is_better(solve, seed, discount):
    mdp = small_mdp(seed)
    best = np.max([value_of(mdp, policy, discount) for policy in itertools.product(range(3), repeat=4)], axis=0)
    solution = solve(mdp, discount, tolerance=1e-9)
    np.testing.assert_allclose(solution.values, best, atol=1e-9)
    np.testing.assert_allclose(value_of(mdp, tuple(solution.policy), discount), best, atol=1e-8)
    assert solution.error_bound <= 1e-9


@pytest.mark.parametrize("solve", SOLVERS)
def test_published_values_of_gymnasium_tasks(solve):
    """Without discounting: FrozenLake 14/17, Taxi 7.93 (its known optimum), CliffWalking −13 steps."""
    for name, expected in [("FrozenLake-v1", 14 / 17), ("Taxi-v4", 7.93), ("CliffWalking-v1", -13.0)]:
        mdp = mdp_from_gymnasium(gymnasium.make(name))
        assert mdp.start @ solve(mdp, 1.0).values == pytest.approx(expected, abs=1e-6)


def test_plain_value_iteration_over_gymnasium_s_table_agrees():
    env = gymnasium.make("FrozenLake8x8-v1").unwrapped
    values = np.zeros(64)
    for _ in range(2000):
        values = np.array(
            [
                max(sum(p * (r + 0.97 * (not d) * values[n]) for p, n, r, d in env.P[s][a]) for a in range(4))
                for s in env.P
            ]
        )
    solution = modified_policy_iteration(mdp_from_gymnasium(gymnasium.make("FrozenLake8x8-v1")), 0.97)
    np.testing.assert_allclose(solution.values, values, atol=1e-6)


def test_the_classic_four_by_three_world():
    """Russell & Norvig, figure 17.3 (−0.04 for every step, also the last, so the squares pay 0.96 and −1.04)."""
    env = make("grid/toy,slip=0.2,step_reward=-0.04,goal_reward=0.96,hole_reward=-1.04")
    values = policy_iteration(env.mdp(), 1.0).values.reshape(3, 4)
    book = [[0.812, 0.868, 0.918, 0], [0.762, 0, 0.660, 0], [0.705, 0.655, 0.611, 0.388]]
    np.testing.assert_allclose(values, book, atol=5e-4)


@pytest.mark.parametrize("solve", SOLVERS)
def test_the_toy_grid_by_hand(solve):
    """Cell by cell, the way to the +1 against the way to the −1, in a grid where every move goes where it points.

    The cells are 0 1 2 G / 4 # 6 H / 8 9 10 11. A way of n moves pays n − 1 steps and then the square: without
    discount it is worth (n − 1)·r ± 1. Moves to (+1, −1): 0: (3, 4), 1: (2, 3), 2: (1, 2), 4: (4, 5), 6: (2, 1),
    8: (5, 4), 9: (4, 3), 10: (3, 2), 11: (4, 1).

    With r = −0.1 the +1 wins everywhere, also from the corner 11: 1 − 0.3 = 0.7 against −1.
    With r = −2 the −1 wins where it is nearer by more than one move, in 11: −1 against 1 − 6 = −5. It is as good as
    the +1 where it is nearer by one: 6: −1 = 1 − 2, 10: −2 − 1 = 1 − 4, 9: −4 − 1 = 1 − 6, 8: −6 − 1 = 1 − 8.
    """
    cells = [0, 1, 2, 4, 6, 8, 9, 10, 11]
    patient = solve(make("grid/toy,step_reward=-0.1").mdp(), 1.0)
    hurried = solve(make("grid/toy,step_reward=-2").mdp(), 1.0)
    np.testing.assert_allclose(patient.values[cells], [0.8, 0.9, 1, 0.7, 0.9, 0.6, 0.7, 0.8, 0.7], atol=1e-6)
    np.testing.assert_allclose(hurried.values[cells], [-3, -1, 1, -5, -1, -7, -5, -3, -1], atol=1e-6)
    assert (patient.policy[11], hurried.policy[11]) == (WEST, NORTH)
    assert patient.policy[[6, 10]].tolist() == [NORTH, NORTH]
    np.testing.assert_allclose(hurried.q_values[6, [NORTH, EAST]], [-2 + 1, -1])  # the tie beside the −1


def test_a_discount_breaks_the_toy_grid_s_ties():
    """With −2 per step and γ = 0.97, beside the −1 (cell 6): −1 at once, or −2 + 0.97 · 1 = −1.03 by way of the +1."""
    hurried = policy_iteration(make("grid/toy,step_reward=-2").mdp(), 0.97)
    assert hurried.policy[6] == EAST
    np.testing.assert_allclose(hurried.q_values[6, [NORTH, EAST]], [-1.03, -1])


@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_policies_deterministic_and_stochastic_are_evaluated(discount):
    mdp = small_mdp(4)
    policy = (0, 2, 1, 1)
    np.testing.assert_allclose(evaluate_policy(mdp, np.array(policy), discount), value_of(mdp, policy, discount))
    np.testing.assert_allclose(evaluate_policy(mdp, np.eye(3)[list(policy)], discount), value_of(mdp, policy, discount))
    # A corridor of one cell: V = ½ (−1 + γ V) + ½ · 1 with both ways equally likely.
    corridor = from_text(".G").mdp()
    both = np.array([[0, 0.5, 0, 0.5], [0.25] * 4])
    expected = 0.0 / (1 - discount / 2)
    np.testing.assert_allclose(evaluate_policy(corridor, both, discount), [expected, 0], atol=1e-12)


def test_a_policy_that_never_ends_is_named():
    corridor = from_text("..G").mdp()
    with pytest.raises(UsageError, match="from state 0 it never ends"):
        evaluate_policy(corridor, np.full(3, WEST), 1.0)
    np.testing.assert_allclose(evaluate_policy(corridor, np.full(3, WEST), 0.5), [-2, -2, 0], atol=1e-12)


@pytest.mark.parametrize("bad", [-np.inf, np.inf, np.nan])
@pytest.mark.parametrize("solve", SOLVERS)
def test_rewards_that_are_not_finite_are_refused(solve, bad):
    corridor = from_text("..G").mdp()
    corridor.reward[1, WEST] = bad
    with pytest.raises(UsageError, match=f"state 1, action {WEST} has the reward {bad}; rewards must be finite"):
        solve(corridor, 0.9)


@pytest.mark.parametrize("solve", SOLVERS)
def test_values_without_a_limit_are_refused(solve):
    sealed = from_text(".#.G").mdp()
    with pytest.raises(UsageError, match="state 0 has no finite value"):
        solve(sealed, 1.0)
    assert solve(sealed, 0.5).values[0] == pytest.approx(-2.0)


@pytest.mark.parametrize("solve", SOLVERS)
def test_bad_requests(solve):
    mdp = from_text(".G").mdp()
    with pytest.raises(UsageError, match=r"gamma is 1\.5"):
        solve(mdp, 1.5)
    with pytest.raises(UsageError, match="tolerance is 0"):
        solve(mdp, 0.9, 0.0)


def test_a_tolerance_beyond_float64_is_refused_with_one_that_works():
    mdp = make("grid/toy,step_reward=-1e6").mdp()
    with pytest.raises(UsageError, match="finer than float64"):
        value_iteration(mdp, 0.999, 1e-12)


def test_is_this_policy_optimal():
    mdp = make("grid/robot").mdp()
    best = policy_iteration(mdp, 0.9)
    answer = check_policy(mdp, best.policy, best)
    assert answer.optimal
    assert answer.start_loss == pytest.approx(0.0, abs=1e-9)
    worse = best.policy.copy()
    worse[3] = WEST  # beside the goal: away, and back in two more steps: 100 becomes −1 − 0.9 + 81... or worse
    answer = check_policy(mdp, worse, best)
    assert not answer.optimal
    assert answer.mistakes.tolist() == [3]
    # Cell 2 leads to 3 and 3 back to 2, for ever: −1 / (1 − 0.9).
    assert answer.values[3] == pytest.approx(-10.0)
    assert answer.loss[3] == pytest.approx(110.0)


def test_plans_by_hand():
    mdp = make("grid/robot").mdp()  # ....G / .##H. / .....
    straight = play_plan(mdp, 0, [EAST] * 4, 1.0)
    assert (straight.expected_return, straight.end_probability, straight.expected_steps) == (97.0, 1.0, 4.0)
    assert straight.reward_probability == {100.0: 1.0}
    assert play_plan(mdp, 0, [EAST] * 4, 0.5).expected_return == pytest.approx(-1 - 0.5 - 0.25 + 12.5)
    assert play_plan(mdp, 0, [EAST] * 3 + [SOUTH], 1.0).expected_return == -53.0
    assert play_plan(mdp, 0, [EAST] * 4 + [WEST] * 5, 1.0) == straight


def test_plans_on_slippery_floor_by_hand():
    """From the corner cell right of a goal: 0.8 into the goal, 0.1 bump north, 0.1 south; then once more west."""
    env = make("grid/toy,slip=0.2,step_reward=-1")
    mdp = env.mdp()
    outcome = play_plan(mdp, 2, [EAST, EAST], 1.0)  # cell 2 is beside the goal 3; below it is 6, beside the hole 7
    # First move: 0.8 goal, 0.1 stays (bump north), 0.1 to cell 6. Second: from 2 the same; from 6: 0.8 hole.
    expected = 0.8 * 1 + 0.2 * -1 + 0.1 * (0.8 * 1 + 0.2 * -1) + 0.1 * (0.8 * -1 + 0.2 * -1)
    assert outcome.expected_return == pytest.approx(expected)
    assert outcome.reward_probability == pytest.approx({1.0: 0.8 + 0.08, -1.0: 0.08})
    assert outcome.end_probability == pytest.approx(0.96)
    assert outcome.expected_steps == pytest.approx(1.2)
