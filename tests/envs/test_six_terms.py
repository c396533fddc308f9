"""The six-term reward on recorded traces, by hand."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs.six_terms import TERMS, Situation, Weights, areas, terms
from puzzlebox.errors import UsageError

# (x, rings, lives, completed): right, left over the start, right again far, three rings, hit, dead, the goal
TRACE = [
    (10.0, 0, 3, False),
    (14.0, 1, 3, False),
    (7.0, 1, 3, False),
    (21.0, 3, 3, False),
    (21.0, 0, 3, False),
    (21.0, 0, 2, False),
    (30.0, 0, 2, True),
]


def situations(trace):
    out, low, high = [], trace[0][0], trace[0][0]
    for x, rings, lives, completed in trace:
        low, high = min(low, x), max(high, x)
        out.append(Situation(x, low, high, rings, lives, completed))
    return out


def paid(weights, trace=TRACE, area=8.0):
    steps = situations(trace)
    return [terms(weights, area, before, after) for before, after in itertools.pairwise(steps)]


ONES = Weights(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def test_every_term_by_hand():
    rows = paid(ONES)
    assert [row["progress"] for row in rows] == [4, -7, 14, 0, 0, 9]
    assert [row["speed"] for row in rows] == [4, 7, 14, 0, 0, 9]
    # parts of 8: the start is in part 1 (8 to 16); part 0 is new at 7, part 2 at 21, part 3 at 30
    assert [row["new_area"] for row in rows] == [0, 1, 1, 0, 0, 1]
    assert [row["rings"] for row in rows] == [1, 0, 2, -3, 0, 0]
    assert [row["life_lost"] for row in rows] == [0, 0, 0, 0, -1, 0]
    assert [row["complete"] for row in rows] == [0, 0, 0, 0, 0, 1]
    assert all(tuple(row) == TERMS for row in rows)


def test_weights_scale_their_own_term_only():
    weights = Weights(progress=2.0, speed=0.0, new_area=0.5, rings=10.0, life_lost=100.0, complete=1000.0)
    total = {name: sum(row[name] for row in paid(weights)) for name in TERMS}
    # net way 20, three parts, no ring left, one life, the goal
    assert total == {"progress": 40, "speed": 0, "new_area": 1.5, "rings": 0, "life_lost": -100, "complete": 1000}


def test_a_gained_life_pays_nothing():
    (row,) = paid(ONES, [(0.0, 0, 2, False), (0.0, 0, 3, False)])
    assert row["life_lost"] == 0


def test_to_and_fro_pays_speed_and_nothing_else():
    rows = paid(ONES, [(x, 0, 1, False) for x in (4.0, 6.0, 4.0, 6.0, 4.0)])
    assert sum(row["speed"] for row in rows) == 8
    assert sum(sum(row.values()) for row in rows) == 8


def test_arrays_of_many_worlds_and_negative_places():
    before = Situation(*(jnp.array([a, b]) for a, b in ((0.5, 3.0), (0.5, 3.0), (0.5, 3.0), (1, 0), (1, 1), (0, 0))))
    after = before._replace(x=jnp.array([-0.5, 3.0]), leftmost=jnp.array([-0.5, 3.0]), completed=jnp.array([1, 0]))
    paid_by = terms(ONES, 1.0, before, after)
    np.testing.assert_allclose(paid_by["new_area"], [1, 0])
    np.testing.assert_allclose(paid_by["progress"], [-1, 0])
    np.testing.assert_allclose(paid_by["complete"], [1, 0])
    np.testing.assert_allclose(areas(after, 1.0), [2, 1])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_must_be_finite(bad):
    with pytest.raises(UsageError, match=r"rings is (nan|inf|-inf); a weight of the reward must be a finite number"):
        Weights(rings=bad)
