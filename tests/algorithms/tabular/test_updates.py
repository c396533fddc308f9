"""Every tabular rule, update by update, against numbers worked by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.tabular import action_values, dyna_q
from puzzlebox.algorithms.tabular.action_values import Values, choose, epsilon_soft, learn, repeats
from puzzlebox.algorithms.tabular.dyna_q import DynaQ
from puzzlebox.algorithms.tabular.expected_sarsa import ExpectedSarsa
from puzzlebox.algorithms.tabular.monte_carlo import MonteCarlo
from puzzlebox.algorithms.tabular.q_learning import QLearning
from puzzlebox.algorithms.tabular.sarsa import Sarsa
from puzzlebox.algorithms.tabular.worlds import make_worlds, num_states, state_index
from puzzlebox.envs import make
from puzzlebox.envs.table import Table, TableWorld
from puzzlebox.errors import UsageError
from puzzlebox.types import MDP

ALL = [MonteCarlo, Sarsa, ExpectedSarsa, QLearning, DynaQ]
ONE = {"num_envs": 1, "num_steps": 1, "discount": 0.5}
CONSTANT = {"learning_rate": 0.1, "learning_rate_decay": 0.0}


def world(rows, start=None, time_limit=0):
    """A table from ``rows[state][action] = [(probability, next state, reward, terminated), ...]``."""
    columns = [np.array([[[o[i] for o in outcomes] for outcomes in actions] for actions in rows]) for i in range(4)]
    probability, next_state, reward, terminated = columns
    start = np.eye(len(rows))[0] if start is None else np.array(start)
    mdp = MDP(next_state.astype(np.int32), probability, reward.astype(float), terminated.astype(bool), start)
    return TableWorld(Table(mdp), time_limit=time_limit)


# 0 -(2)-> 1 -(3)-> end, whichever of the two actions is taken
CHAIN = [[[(1.0, 1, 2.0, False)]] * 2, [[(1.0, 1, 3.0, True)]] * 2]
CORRIDOR = [row[:1] for row in CHAIN]  # the same with one action
CIRCLE = [[[(1.0, 0, 1.0, False)]]]  # one state, one action, reward 1 for ever
COIN = [[[(0.5, 0, 1.0, True), (0.5, 0, 0.0, True)]]]


def compiled(algorithm):
    return jax.jit(algorithm.init), jax.jit(algorithm.step)


@pytest.mark.parametrize("kind", [Sarsa, ExpectedSarsa, QLearning])
def test_termination_bootstraps_nothing_and_truncation_does(kind):
    algorithm = kind(world(CORRIDOR), **ONE, **CONSTANT, initial_q=10.0)
    init, step = compiled(algorithm)
    state, _ = step(init(jax.random.key(0)))
    np.testing.assert_allclose(state.values.q[:, 0], [9.7, 10.0], rtol=1e-6)  # 10 + 0.1 (2 + 0.5 · 10 − 10)
    state, metrics = step(state)
    np.testing.assert_allclose(state.values.q[:, 0], [9.7, 9.3], rtol=1e-6)  # 10 + 0.1 (3 − 10)
    assert metrics["episode_return"] == 5.0
    assert metrics["episode_length"] == 2
    state, metrics = step(state)
    np.testing.assert_allclose(state.values.q[:, 0], [9.395, 9.3], rtol=1e-6)  # 9.7 + 0.1 (2 + 0.5 · 9.3 − 9.7)
    assert np.isnan(metrics["episode_return"])

    cut = dataclasses.replace(algorithm, env=world(CORRIDOR, time_limit=1))
    init, step = compiled(cut)
    state = init(jax.random.key(0))
    for expected in (9.7, 9.43):  # 9.7 + 0.1 (2 + 0.5 · 10 − 9.7): the clock keeps it from state 1, whose value counts
        state, _ = step(state)
        np.testing.assert_allclose(state.values.q[:, 0], [expected, 10.0], rtol=1e-6)


@pytest.mark.parametrize("kind", [Sarsa, ExpectedSarsa, QLearning])
def test_the_rules_differ_in_the_next_value(kind):
    algorithm = kind(world(CHAIN), **ONE, **CONSTANT, epsilon_start=0.2, epsilon_end=0.2)
    init, step = compiled(algorithm)
    seen = set()
    for seed in range(40):
        state = init(jax.random.key(seed))
        state = state._replace(values=state.values._replace(q=jnp.array([[0.0, 0.0], [1.0, 3.0]])))
        after, _ = step(state)
        changed = round(float(after.values.q[0].sum()), 5)
        seen.add(changed)
        if kind is Sarsa:  # the action of the target is the action that will be taken
            assert changed == pytest.approx(0.35 if after.action[0] == 1 else 0.25)
    # r + γ max = 2 + 0.5 · 3;  r + γ (0.1 · 1 + 0.9 · 3) = 3.4;  r + γ · 1 or γ · 3
    assert seen == {QLearning: {0.35}, ExpectedSarsa: {0.34}, Sarsa: {0.25, 0.35}}[kind]


@pytest.mark.parametrize(("planning_steps", "expected"), [(0, 0.35), (1, 0.665), (2, 0.98)])
def test_planning_repeats_what_was_seen(planning_steps, expected):
    # real: 0.1 · 3.5; planned once: + 0.1 (3.5 − 0.35); twice at once: + 2 · 0.1 (3.5 − 0.35)
    algorithm = DynaQ(world(CHAIN), **ONE, **CONSTANT, planning_steps=planning_steps)
    init, step = compiled(algorithm)
    state = init(jax.random.key(0))
    state = state._replace(values=state.values._replace(q=jnp.array([[0.0, 0.0], [1.0, 3.0]])))
    state, _ = step(state)
    assert state.values.q[0].sum() == pytest.approx(expected)
    assert state.values.visits.sum() == 1
    assert state.model.num_known == 1


def test_the_model_remembers_the_last_outcomes():
    model = dyna_q.empty_model(3, 2, 2)

    def add(model, *steps):
        state, action, next_state, reward, terminated = map(jnp.array, zip(*steps, strict=True))
        return jax.jit(dyna_q.remember)(model, state, action, next_state, reward, terminated)

    model = add(model, (2, 1, 0, 5.0, False), (0, 0, 1, 1.0, False), (2, 1, 1, 6.0, True))
    assert model.known[: model.num_known].tolist() == [5, 0]  # 2 · 2 + 1, 0 · 2 + 0
    assert model.reward[2, 1].tolist() == [5.0, 6.0]
    model = add(model, (2, 1, 2, 7.0, False), (2, 1, 2, 8.0, False), (2, 1, 0, 9.0, True))
    assert model.visits.tolist() == [[1, 0], [0, 0], [0, 5]]
    # The five outcomes went to places 0 1 0 1 0: 9 took the place of 7 within one batch.
    assert model.reward[2, 1].tolist() == [9.0, 8.0]
    assert model.next_state[2, 1].tolist() == [0, 2]
    assert model.terminated[2, 1].tolist() == [True, False]
    assert model.num_known == 2
    chance = jax.random.uniform(jax.random.key(0), (2, 400))
    columns = [column.tolist() for column in dyna_q.recall(model, chance)]
    recalled = set(zip(*columns, strict=True))
    assert recalled == {(2, 1, 9.0, True, 0), (2, 1, 8.0, False, 2), (0, 0, 1.0, False, 1)}


def test_monte_carlo_learns_whole_returns_when_the_episode_ends():
    means = {"learning_rate": 1.0, "learning_rate_decay": 1.0, "num_envs": 1, "discount": 0.5}
    for num_steps, after in ((2, 1), (1, 2)):  # within an iteration, and across two
        algorithm = MonteCarlo(world(CORRIDOR), **means, num_steps=num_steps)
        init, step = compiled(algorithm)
        state = init(jax.random.key(0))
        for iteration in range(after):
            assert state.values.q.tolist() == [[0.0], [0.0]], iteration
            state, _ = step(state)
        assert state.values.q.tolist() == [[3.5], [3.0]]  # 2 + 0.5 · 3, and 3
        assert state.values.visits.tolist() == [[1], [1]]


def test_monte_carlo_counts_first_visits_and_bootstraps_a_truncation():
    algorithm = MonteCarlo(world(CIRCLE, time_limit=3), num_envs=1, num_steps=3, discount=0.5, initial_q=8.0)
    init, step = compiled(algorithm)
    state, _ = step(init(jax.random.key(0)))
    assert state.values.q.tolist() == [[2.75]]  # 1 + 0.5 + 0.25 + 0.125 · 8; later visits count nothing
    assert state.values.visits.tolist() == [[1]]


def test_monte_carlo_learns_from_an_episode_that_never_ends():
    algorithm = MonteCarlo(world(CIRCLE), num_envs=1, num_steps=2, discount=0.5, initial_q=8.0)
    init, step = compiled(algorithm)
    state, _ = step(init(jax.random.key(0)))
    assert state.values.q.tolist() == [[8.0]]
    state, _ = step(state)
    assert state.values.q.tolist() == [[2.375]]  # 1 + 0.5 + 0.25 + 0.125 + 0.0625 · 8
    state, _ = step(state)
    assert state.values.visits.tolist() == [[1]]


@pytest.mark.parametrize("kind", ALL)
def test_worlds_that_learn_one_entry_at_once_give_the_mean(kind):
    planning = {"planning_steps": 0} if kind is DynaQ else {}
    algorithm = kind(world(COIN), num_envs=4, num_steps=8, learning_rate_decay=1.0, **planning)
    init, step = compiled(algorithm)
    state = init(jax.random.key(0))
    means = []
    for _ in range(2):
        state, metrics = step(state)
        means.append(float(metrics["episode_return"]))
    assert state.values.visits.tolist() == [[64]]
    assert 0 < means[0] < 1
    assert state.values.q[0, 0] == pytest.approx(np.mean(means), abs=1e-6)


def test_step_sizes_and_batches_by_hand():
    values = Values(jnp.zeros((2, 2)), jnp.array([[3, 0], [0, 0]]))
    state, action = jnp.array([0, 0, 1, 2]), jnp.array([0, 0, 1, 0])
    values, error = learn(values, state, action, jnp.array([2.0, 4.0, 5.0, 9.0]), 0.5, 1.0)
    assert error[:3].tolist() == [2.0, 4.0, 5.0]
    # (0, 0): n = 5, α = 0.1, twice; (1, 1): n = 1, α = 0.5; state 2 does not exist
    np.testing.assert_allclose(values.q, [[0.6, 0.0], [0.0, 2.5]], rtol=1e-6)
    assert values.visits.tolist() == [[5, 0], [0, 1]]
    # Four targets at once with α = 0.5 would overshoot: they share a whole step, to their mean.
    values, _ = learn(
        Values(jnp.zeros((1, 1)), jnp.zeros((1, 1), int)), *jnp.zeros((2, 4), int), jnp.arange(4.0), 0.5, 0.0
    )
    assert values.q.tolist() == [[1.5]]


def test_counting_by_pairs_and_by_table_agree(monkeypatch):
    state, action = jax.random.randint(jax.random.key(0), (2, 50), 0, 5)
    by_pairs = repeats(state, action, (5, 5))
    monkeypatch.setattr(action_values, "PAIRWISE_LIMIT", 10)
    assert by_pairs.tolist() == repeats(state, action, (5, 5)).tolist()
    assert repeats(state[:1], action[:1], (5, 5)).tolist() == [1]


def test_epsilon_greedy_shares_ties_and_draws_in_proportion():
    q = jnp.array([[1.0, 3.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    probability = epsilon_soft(q, 0.2)
    np.testing.assert_allclose(probability, [[0.05, 0.45, 0.45, 0.05], [0.25] * 4], rtol=1e-6)
    chance = jnp.array([0.0, 0.049, 0.051, 0.499, 0.501, 0.949, 0.951, 0.9999999])
    assert choose(jnp.broadcast_to(probability[0], (8, 4)), chance).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert choose(epsilon_soft(q[:1], 0.0), jnp.array([0.0])).tolist() == [1]


def test_worlds_from_a_table_draw_what_the_table_says():
    rows = [[[(0.2, 1, 1.0, False), (0.5, 0, 2.0, True), (0.3, 2, 3.0, False)]]] + [
        [[(1.0, 2, 0.0, False)] + [(0.0, 0, 9.0, True)] * 2]
    ] * 2
    worlds = make_worlds(world(rows, start=[0.75, 0.0, 0.25], time_limit=2), 4000)
    start_key, draw_key = jax.random.split(jax.random.key(0))
    first = worlds.start(start_key)
    share = np.bincount(first.observation, minlength=3) / 4000
    np.testing.assert_allclose(share, [0.75, 0, 0.25], atol=4 * np.sqrt(0.25 / 4000))
    drawn = worlds.draw(draw_key, 2)
    second, timestep, ended = worlds.step(first, jnp.zeros(4000, int), jax.tree.map(lambda x: x[0], drawn))
    from_first = np.asarray(first.observation) == 0
    share = np.bincount(np.asarray(timestep.reward)[from_first].astype(int), minlength=4) / from_first.sum()
    np.testing.assert_allclose(share, [0, 0.2, 0.5, 0.3], atol=4 * np.sqrt(0.25 / 3000))
    assert not timestep.reward[~from_first].any()
    np.testing.assert_array_equal(timestep.terminated, timestep.reward == 2)
    assert not timestep.truncated.any()
    np.testing.assert_array_equal(ended.episode_return, np.where(timestep.terminated, 2.0, np.nan))
    _, timestep, _ = worlds.step(second, jnp.zeros(4000, int), jax.tree.map(lambda x: x[1], drawn))
    old = second.state == 1  # those still in their first episode meet the clock now
    np.testing.assert_array_equal(timestep.truncated, old & ~timestep.terminated)


def test_observations_of_several_numbers_are_rows():
    import gymnasium

    space = gymnasium.spaces.MultiDiscrete([3, 4, 2])
    assert num_states("q_learning", space) == 24
    every = np.stack(np.meshgrid(*map(np.arange, (3, 4, 2)), indexing="ij"), -1).reshape(-1, 3)
    assert state_index(space, jnp.asarray(every)).tolist() == list(range(24))
    assert state_index(gymnasium.spaces.Discrete(5, start=-1), jnp.array([-1, 3])).tolist() == [0, 4]


@pytest.mark.parametrize("kind", ALL)
def test_worlds_without_a_table_are_refused(kind):
    with pytest.raises(UsageError, match="needs Discrete observations"):
        kind(make("CartPole-v1"))
    with pytest.raises(UsageError, match="epsilon_start is 2"):
        kind(make("grid/toy"), epsilon_start=2)
