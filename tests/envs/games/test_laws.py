"""Laws that every game obeys; the games whose programs take long to compile are in tests/learning/test_games.py."""

import jax
import numpy as np
import pytest

from game_laws import check_game, check_names, check_symmetries
from puzzlebox.envs import make
from puzzlebox.types import Game


@pytest.mark.parametrize(("name", "moves"), [("tic_tac_toe", 12), ("connect_four", 45), ("pgx:othello", 70)])
def test_games_obey_the_laws_and_their_symmetries(name, moves):
    game = make(name)
    states, positions, _ = check_game(game, moves)
    assert np.all(positions.terminated[-1]) and not np.any(positions.terminated[4])
    states, positions = jax.tree.map(lambda leaf: leaf[::10, 0], (states, positions))
    check_names(game, states, positions)
    check_symmetries(game, moves)


def test_a_world_is_no_game():
    assert isinstance(make("connect_four"), Game) and not isinstance(make("grid/toy"), Game)
