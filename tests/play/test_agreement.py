"""Agreement with the solver: the perfect player's is whole, the random player's is the share of optimal moves."""

import jax
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.games import connect_four_positions
from puzzlebox.envs.games.stones import ILLEGAL
from puzzlebox.play.agreement import agreement, mean, words
from puzzlebox.play.players import Choice, Random


class ByHeart:
    """Chooses the first move that ``moves`` [600, 7] marks."""

    def __init__(self, moves):
        self.moves, self.seen = moves, 0

    def choose(self, states, positions, key):
        rows = self.moves[self.seen : self.seen + len(positions.legal)]
        self.seen += len(rows)
        return Choice(np.argmax(rows, axis=-1))


def test_best_moves_agree_and_mistakes_do_not():
    game, solution = make("connect_four"), connect_four_positions.load().solution
    right = agreement(ByHeart(solution.best), game, jax.random.key(0))
    assert right["optimal"] == right["best"] == right["beginning"] == right["middle"] == right["end"] == 1
    legal = solution.score > ILLEGAL
    wrong = agreement(ByHeart(legal & ~solution.optimal), game, jax.random.key(0))
    assert wrong["optimal"] == wrong["best"] == 0
    assert mean([right, wrong])["middle"] == 0.5
    assert "optimal moves in held positions: 50.0%" in words(mean([right, wrong]))


def test_the_random_player_agrees_as_often_as_chance_would():
    held = connect_four_positions.load()
    legal = held.solution.score > ILLEGAL
    expected = (held.solution.optimal.sum(-1) / legal.sum(-1)).mean()
    found = agreement(Random(), make("connect_four"), jax.random.key(0))
    assert found["optimal"] == pytest.approx(expected, abs=4 * 0.5 / len(held.moves) ** 0.5)
    assert found["best"] <= found["optimal"]


def test_a_game_without_held_positions_has_none():
    assert agreement(Random(), make("tic_tac_toe"), jax.random.key(0)) == {}
