"""Every level can be completed, and what is meant to need a run-up does need it: found by planning."""

import pytest

from platformer_planner import explore
from puzzlebox.envs import make
from puzzlebox.envs.platformer.generator import generate
from puzzlebox.envs.platformer.levels import read_level


@pytest.mark.parametrize("name", ["level-1", "level-2", "level-3", *(f"random,seed={seed}" for seed in range(4))])
def test_every_level_can_be_completed(name):
    env = make(f"platformer/{name}")
    found = explore(env)
    assert found.completed and found.decisions <= env.time_limit


def test_level_1_cannot_be_completed_by_always_pushing_right():
    found = explore(make("platformer/level-1"), actions=(2, 5))
    assert not found.completed and found.furthest < 15


def test_random_levels_differ_and_repeat():
    levels = [generate(seed) for seed in range(200)]
    assert len(set(levels)) == 200 and levels[7] == generate(7)
    for rows in levels:
        text = "".join(rows)
        assert "|" in text and "O" in text
        read_level(rows)
