"""Shogi against published perft counts and games that python-shogi recorded."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from game_laws import perft
from puzzlebox.envs import make

EXPECTED = json.loads((Path(__file__).parents[1] / "data/expected/games.json").read_text())["shogi"]


@pytest.fixture(scope="module")
def game():
    return make("pgx:shogi")


def test_perft_counts_and_recorded_games(game):
    """In one test, since the program takes long to compile."""
    step = jax.jit(game.step)
    assert perft(step, *game.reset(jax.random.key(0)), 3) == [30, 900, 25470]
    for recorded in EXPECTED:
        state, position = game.reset(jax.random.key(0))
        for move, legal in zip(recorded["moves"], recorded["legal"], strict=True):
            assert np.sum(position.legal) == legal and not position.terminated
            state, position = step(state, np.int32(game.parse_move(state, move)), jax.random.key(0))
        assert any("*" in move for move in recorded["moves"])
        assert any(move.endswith("+") for move in recorded["moves"])


def test_the_first_board_as_text(game):
    lines = game.show(game.reset(jax.random.key(0))[0]).splitlines()
    assert lines[1].split() == ["l", "n", "s", "g", "k", "g", "s", "n", "l", "a"]
    assert lines[2].split() == [".", "r", ".", ".", ".", ".", ".", "b", ".", "b"]
    assert lines[8].split() == [".", "B", ".", ".", ".", ".", ".", "R", ".", "h"]
    assert lines[10] == "in hand: nothing, nothing"
