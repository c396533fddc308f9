"""Tables read from Gymnasium's own tasks, entry by entry; where one counts, and what is wrong with a malformed one."""

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.toy_text import FrozenLakeEnv
from gymnasium.wrappers import TimeLimit, TransformReward

from puzzlebox.algorithms.tabular.modified_policy_iteration import modified_policy_iteration
from puzzlebox.envs import make, make_tabular
from puzzlebox.envs.check import check_environment
from puzzlebox.envs.gymnasium_host import HostEnvironment
from puzzlebox.envs.gymnasium_table import mdp_from_gymnasium, table_from_gymnasium, why_no_table
from puzzlebox.envs.table import TableWorld
from puzzlebox.errors import UsageError

TASKS = ["FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "CliffWalkingSlippery-v1", "Taxi-v4"]


@pytest.mark.parametrize("name", TASKS)
def test_one_backup_equals_gymnasium_s_table(name):
    env = gymnasium.make(name)
    mdp = mdp_from_gymnasium(env)
    value = np.random.default_rng(0).normal(size=env.observation_space.n)
    ours = (mdp.probability * (mdp.reward + 0.9 * np.where(mdp.terminated, 0.0, value[mdp.next_state]))).sum(-1)
    for state, actions in env.unwrapped.P.items():
        for action, outcomes in actions.items():
            q = sum(p * (r + 0.9 * (0.0 if done else value[s])) for p, s, r, done in outcomes)
            assert ours[state, action] == pytest.approx(q, abs=1e-12)
    np.testing.assert_allclose(mdp.start, env.unwrapped.initial_state_distrib)


def test_equal_outcomes_are_merged():
    mdp = mdp_from_gymnasium(gymnasium.make("FrozenLake-v1"))
    # In the corner, west and north both bump: 2/3 stay, 1/3 goes down.
    assert (
        dict(zip(mdp.next_state[0, 0].tolist(), np.round(mdp.probability[0, 0], 6).tolist(), strict=True))[4]
        == 0.333333
    )
    assert sorted(np.round(mdp.probability[0, 0], 6)) == [0.0, 0.333333, 0.666667]


@pytest.mark.parametrize("name", ["FrozenLake-v1", "Taxi-v4"])
def test_worlds_keep_every_rule(name):
    check_environment(table_from_gymnasium(gymnasium.make(name)))


def test_the_time_limit_is_the_registered_one():
    assert table_from_gymnasium(gymnasium.make("FrozenLake-v1")).time_limit == 100
    assert table_from_gymnasium(gymnasium.make("CliffWalking-v1")).time_limit == 0


def test_layouts():
    lake = table_from_gymnasium(gymnasium.make("FrozenLake-v1")).layout
    assert lake == (("S...", ".H.H", "...H", "H..G"), "WSEN")
    cliff = table_from_gymnasium(gymnasium.make("CliffWalking-v1")).layout
    assert cliff.rows[3] == "SHHHHHHHHHHG"
    assert cliff.actions == "NESW"
    assert table_from_gymnasium(gymnasium.make("Taxi-v4")).layout is None


def test_equal_tables_are_one_constant():
    first, second = (table_from_gymnasium(gymnasium.make("FrozenLake-v1")) for _ in range(2))
    other = table_from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=False))
    assert (first, hash(first)) == (second, hash(second))
    assert first != other


def test_tasks_without_a_whole_table_are_refused():
    for env in (gymnasium.make("CartPole-v1"), gymnasium.make("Taxi-v4", fickle_passenger=True)):
        assert why_no_table(env)
        with pytest.raises(UsageError, match=r"cannot be solved exactly: its? .*; train on it instead"):
            mdp_from_gymnasium(env)


def lake(**options):
    return gymnasium.make("FrozenLake-v1", is_slippery=False, **options)


class Dear(FrozenLakeEnv):
    """Steps otherwise than its table says."""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward - 0.1, *rest


class Renamed(FrozenLakeEnv):
    """Changes nothing that counts."""

    name = "lake"


CHANGED = {
    "Shaped": (lambda: TransformReward(lake(), lambda r: r - 0.1), "the wrapper TransformReward changes what its P"),
    "Short": (lambda: TimeLimit(lake(), 3), "a second TimeLimit inside changes what its P says"),
    "Dear": (Dear, "Dear, which steps or resets otherwise than FrozenLakeEnv, changes what its P says"),
}


class Chain(gymnasium.Env):
    """Three states in a row; action 1 goes on, and reaching the last one pays 1 and ends."""

    observation_space, action_space = gymnasium.spaces.Discrete(3), gymnasium.spaces.Discrete(2)
    initial_state_distrib = np.array([1.0, 0.0, 0.0])

    def __init__(self, P=None, start=None):
        if P is not None:
            self.P = P
        if start is not None:
            self.initial_state_distrib = start

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = 0
        return 0, {}

    def step(self, action):
        self.state = min(self.state + int(action), 2)
        return self.state, float(self.state == 2), self.state == 2, False, {}


def chain_table(state=None, action=None, outcomes=None):
    """Its table, with other outcomes in one place."""
    table = {s: {a: [(1.0, min(s + a, 2), float(s + a >= 2), s + a >= 2)] for a in (0, 1)} for s in range(3)}
    if state is not None:
        table[state][action] = outcomes
    return table


@pytest.fixture
def register():
    names = []

    def add(name, entry_point, **more):
        gymnasium.register(f"box/{name}", entry_point=entry_point, **more)
        names.append(f"box/{name}")
        return f"gym:box/{name}"

    yield add
    for name in names:
        del gymnasium.registry[name]


@pytest.mark.parametrize("kind", CHANGED)
def test_a_table_that_does_not_say_what_happens_is_left_alone(kind, register):
    entry_point, reason = CHANGED[kind]
    name = register(f"{kind}-v0", entry_point)
    world = make(name)
    assert isinstance(world, HostEnvironment)
    assert world.note == f"{name} stays in Python: {world.no_table}" and reason in world.note
    with pytest.raises(UsageError, match=f"cannot be solved exactly: .*{reason}.*; train on it instead"):
        make_tabular(name)


def test_what_changes_nothing_keeps_the_table(register):
    name = register("Renamed-v0", Renamed, max_episode_steps=50, kwargs={"is_slippery": False})
    assert make(name).time_limit == 50
    assert make(f"{name},max_episode_steps=7").time_limit == 7
    inner = make(register("Inner-v0", lake))  # an entry point that calls gymnasium.make itself
    assert isinstance(inner, TableWorld) and inner.time_limit == 100


P_OF_ANOTHER_FORM = {
    "number": 101.3,
    "arrays": np.full((3, 2, 3), 1 / 3),
    "lists": np.full((3, 2, 3), 1 / 3).tolist(),
    "text": "P",
    "dictionary": {"pressure": 101.3},
    "nothing": {},
}


@pytest.mark.parametrize("kind", P_OF_ANOTHER_FORM)
def test_a_p_that_is_no_table_is_left_alone(kind, register):
    name = register(f"{kind}-v0", lambda: Chain(P_OF_ANOTHER_FORM[kind]))
    world = make(name)
    assert isinstance(world, HostEnvironment) and "its P is no table of the form" in world.note
    with pytest.raises(UsageError, match="cannot be solved exactly: its P is no table"):
        make_tabular(name)


def test_a_table_without_a_start_or_with_other_observations_is_left_alone(register):
    class NoStart(Chain):
        initial_state_distrib = property()  # as good as not there

    class Seen(Chain):
        observation_space = gymnasium.spaces.Box(0, 1, (3,))

    assert "no initial_state_distrib" in make(register("NoStart-v0", lambda: NoStart(chain_table()))).note
    assert "its observations are Box" in make(register("Seen-v0", lambda: Seen(chain_table()))).note


def test_a_table_as_lists_and_numpy_numbers_is_one():
    def whole(outcome):
        probability, following, *rest = outcome
        return [np.float64(probability), np.int64(following), *rest]

    as_lists = [[[whole(one) for one in row] for row in actions.values()] for actions in chain_table().values()]
    expected, found = mdp_from_gymnasium(Chain(chain_table())), mdp_from_gymnasium(Chain(as_lists))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # Two moves to the end: 0.9 from the start.
    assert modified_policy_iteration(found, 0.9).values[0] == pytest.approx(0.9, abs=1e-6)


MALFORMED = {
    "an end without actions": (chain_table() | {2: {}}, None, "no action 0 in state 2; a state where all is over has"),
    "fewer actions": (chain_table() | {1: {0: [(1.0, 1, 0.0, False)]}}, None, "no action 1 in state 1"),
    "more actions": (chain_table(0, 2, [(1.0, 0, 0.0, False)]), None, "an action 2 in state 0; actions are .* 0 to 1"),
    "tuples": ({(0, s): row for s, row in chain_table().items()}, None, r"a state \(0, 0\); states are .* 0 to 2"),
    "from 1": ({s + 1: row for s, row in chain_table().items()}, None, "a state 3; states are .* 0 to 2"),
    "a state too few": ({s: chain_table()[s] for s in (0, 1)}, None, r"no state 2, though there are 3 \(0 to 2\)"),
    "three parts": (chain_table(1, 0, [(1.0, 1, 0.0)]), None, r"state 1, action 0 has the outcome \(1.0, 1, 0.0\)"),
    "no list": (chain_table(1, 0, 7), None, "outcomes of state 1, action 0 are 7, not a list"),
    "no reward": (chain_table(1, 1, [(1.0, 2, None, True)]), None, "state 1, action 1 has the reward None"),
    "reward nan": (chain_table(1, 1, [(1.0, 2, np.nan, True)]), None, "state 1, action 1 has the reward nan"),
    "out of range": (chain_table(0, 1, [(1.0, 3, 0.0, False)]), None, "state 0, action 1 leads to 3; states are"),
    "half a state": (chain_table(0, 1, [(1.0, 1.5, 0.0, False)]), None, "state 0, action 1 leads to 1.5; states are"),
    "below 0": (chain_table(0, 1, [(1.0, -1, 0.0, False)]), None, "state 0, action 1 leads to -1; states are"),
    "sum": (chain_table(2, 0, [(0.9, 2, 0.0, True)]), None, "outcomes of state 2, action 0 sum to 0.9, not 1"),
    "no outcome": (chain_table(2, 0, []), None, "outcomes of state 2, action 0 sum to 0, not 1"),
    "negative": (chain_table(2, 0, [(-0.5, 2, 0.0, True)]), None, "state 2, action 0 has the probability -0.5"),
    "start too short": (chain_table(), np.ones(2) / 2, r"initial_state_distrib has the shape \[2\], not \[3\]"),
    "start all zero": (chain_table(), np.zeros(3), "no distribution: the smallest is 0, the sum 0"),
    "start no numbers": (chain_table(), "here", "initial_state_distrib is 'here', not a list of probabilities"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_table_is_one_line_that_names_the_place(kind, register):
    table, start, message = MALFORMED[kind]
    name = register("Malformed-v0", lambda: Chain(table, start))
    with pytest.raises(UsageError, match=f"^{name}: .*{message}.*; mend its table, or train on it with host=true$"):
        make(name)
    assert isinstance(make(f"{name},host=true"), HostEnvironment)
