"""Self-play by hand: who is paid what, when it is known, and what belongs to which move."""

from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting.search import SearchResult
from puzzlebox.acting.self_play import outcome, self_play, start
from puzzlebox.envs.games.tic_tac_toe import TicTacToe
from puzzlebox.types import Position

GAME = TicTacToe()
FIRST_WINS, SECOND_WINS = (0, 3, 1, 4, 2), (0, 3, 1, 4, 8, 5)
DRAW = (0, 1, 2, 4, 3, 5, 7, 6, 8)


def scripted(*games):
    """Plays board b as written in ``games[b]``, and again from the start when it ends."""
    script = jnp.array([list(game) + [0] * (9 - len(game)) for game in games])

    def choose(states, positions, length, key):
        action = script[jnp.arange(len(games)), length]
        weights = jax.nn.one_hot(action, 9)
        return SearchResult(action, weights, jnp.zeros(len(games)), weights)

    return choose


def played(choose, boards, steps, remember=4, **options):
    """Calls of `self_play` with these numbers of steps: the boards at the end, and what each call returned."""
    games, results = start(GAME, boards, jax.random.key(0), remember=remember, **options), []
    play = jax.jit(lambda games, key, count: self_play(choose, GAME, games, count, key, **options), static_argnums=2)
    for i, count in enumerate(steps):
        games, *result = play(games, jax.random.key(i + 1), count)
        results.append([*result, games])
    return games, results


def paid(games, searched):
    return outcome(games, searched.board, searched.game, searched.player, searched.paid)


def test_a_game_of_five_moves_pays_each_mover_with_the_right_sign():
    games, [(trajectory, searched, metrics, _)] = played(scripted(FIRST_WINS, SECOND_WINS, DRAW), 3, [9])
    z, known = paid(games, searched)
    np.testing.assert_array_equal(searched.player[:5, 0], [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(z[:5, 0], [1, -1, 1, -1, 1])
    np.testing.assert_array_equal(z[:6, 1], [-1, 1, -1, 1, -1, 1])
    np.testing.assert_array_equal(z[:, 2], np.zeros(9))
    np.testing.assert_array_equal(known.sum(axis=0), [5, 6, 9])  # the rest belongs to games that go on
    np.testing.assert_array_equal(trajectory.reward[:6, 1], [0, 0, 0, 0, 0, 1])  # whoever moves last is paid for it
    np.testing.assert_array_equal(np.argwhere(np.asarray(trajectory.terminated)), [[4, 0], [5, 1], [8, 2]])
    np.testing.assert_array_equal(games.finished, [1, 1, 1])
    assert float(metrics["game_length"]) == pytest.approx((5 + 6 + 9) / 3)
    assert float(metrics["first_player_wins"]) == pytest.approx(1 / 3)
    assert float(metrics["draws"]) == pytest.approx(1 / 3)


def test_an_unfinished_game_waits_for_its_outcome():
    games, [(_, early, metrics, before), (_, late, *_)] = played(scripted(FIRST_WINS), 1, [3, 2])
    assert not paid(before, early)[1].any()
    assert np.isnan(metrics["game_length"])
    z, known = paid(games, early)
    np.testing.assert_array_equal(z[:, 0], [1, -1, 1])
    assert known.all()
    np.testing.assert_array_equal(paid(games, late)[0][:, 0], [-1, 1])


def test_what_lies_too_far_back_is_unknown_again():
    games, results = played(scripted(FIRST_WINS), 1, [5, 5, 5], remember=2)
    known = [bool(paid(games, searched)[1].all()) for _, searched, *_ in results]
    assert known == [False, True, True]


def test_each_move_is_seen_by_the_player_who_makes_it_and_games_begin_anew():
    _, [(trajectory, searched, *_)] = played(scripted(FIRST_WINS), 1, [7])
    observation, after = trajectory.observation[:, 0], trajectory.next_observation[:, 0]
    np.testing.assert_array_equal(observation[1:5], after[:4])
    np.testing.assert_array_equal(observation[5], np.zeros((3, 3, 2)))
    assert after[4].sum() == 5
    own, other = observation[3, :, :, 0], observation[3, :, :, 1]  # the second player's second move
    np.testing.assert_array_equal(own, [[0, 0, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(other, [[1, 1, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(searched.game[:, 0], [0, 0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(searched.legal[3, 0], [0, 0, 1, 0, 1, 1, 1, 1, 1])


def test_openings_are_random_legal_and_do_not_count():
    def first_legal(states, positions, length, key):
        weights = jax.nn.one_hot(jnp.argmax(positions.legal, axis=-1), 9)
        return SearchResult(jnp.argmax(positions.legal, axis=-1), weights, jnp.zeros(64), weights)

    games, [(trajectory, searched, *_)] = played(first_legal, 64, [2], random_moves=2)
    legal = np.take_along_axis(np.asarray(searched.legal), np.asarray(trajectory.action)[..., None], axis=-1)
    assert legal.all()
    mask = np.asarray(trajectory.mask)
    np.testing.assert_array_equal((~mask).sum(axis=0), games.opening)  # no game of two moves has ended
    assert set(np.asarray(games.opening).tolist()) == {0, 1, 2}
    assert (np.asarray(trajectory.action)[0][mask[0]] == 0).all()
    assert len(set(np.asarray(trajectory.action)[0][~mask[0]].tolist())) > 4


class Wages(NamedTuple):
    moves: jax.Array


class PaidByTheMove:
    """One player; move n pays n, and three make a game."""

    num_players = 1
    observation_space = gymnasium.spaces.Box(0, 3, (1,))
    action_space = gymnasium.spaces.Discrete(9)

    def reset(self, key):
        return Wages(jnp.int32(0)), self._position(jnp.int32(0))

    def step(self, state, action, key):
        return Wages(state.moves + 1), self._position(state.moves + 1)

    def _position(self, moves):
        reward = jnp.stack([moves.astype(jnp.float32), 0.0])
        return Position(moves[None] * 1.0, jnp.ones(9, bool), jnp.int32(0), reward, moves == 3)


def test_what_was_paid_before_a_move_is_not_its_outcome():
    games = start(PaidByTheMove(), 1, jax.random.key(0), remember=2)
    games, trajectory, searched, _ = self_play(scripted((0,)), PaidByTheMove(), games, 3, jax.random.key(1))
    z, known = outcome(games, searched.board, searched.game, searched.player, searched.paid)
    np.testing.assert_array_equal(trajectory.reward[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(z[:, 0], [6, 5, 3])
    assert known.all()
