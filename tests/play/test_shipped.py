"""The weights that come with the package play at once, and well."""

import jax
import pytest

from puzzlebox.envs import make
from puzzlebox.play.agreement import agreement
from puzzlebox.play.arena import arena
from puzzlebox.play.players import make_player
from puzzlebox.runs.trained import WEIGHTS


def test_tic_tac_toe_is_not_lost_to_the_perfect_player():
    found = arena(["shipped", "perfect"], game="tic_tac_toe", games=25, simulations=32)
    assert (found["wins"], found["draws"], found["losses"]) == (0, 50, 0)


def test_connect_four_finds_the_optimal_moves():
    game = make("connect_four")
    found = agreement(make_player("shipped", "connect_four", game, simulations=16), game, jax.random.key(0))
    assert found["optimal"] == pytest.approx(0.867, abs=0.02)


def test_they_are_small():
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*")) < 1_000_000
