"""Plain tree search: random games by exact probabilities, bookkeeping, and play against the perfect player's table."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting.uct import playout, random_move, uct
from puzzlebox.envs import make
from puzzlebox.envs.games.moves import from_moves

GAME = make("tic_tac_toe")
SEARCH = jax.jit(lambda states, positions, key: uct(GAME, states, positions, key, 1000))


def batch(*games, game=GAME):
    """The positions after several lists of moves, as one batch."""
    return jax.tree.map(lambda *x: jnp.stack(x), *(from_moves(game, moves) for moves in games))


def test_random_moves_are_legal_and_all_alike():
    legal = jnp.tile(jnp.array([False, True, True, False, True]), (6000, 1))
    counts = np.bincount(np.asarray(random_move(legal, jax.random.key(0))), minlength=5)
    assert counts[0] == counts[3] == 0
    assert counts[[1, 2, 4]] == pytest.approx(2000, abs=4 * np.sqrt(6000 * 2 / 9))


@functools.cache
def random_outcome(board, player):
    """Mean outcome for the first player of random moves from ``board`` on, by going through all games."""
    lines = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]
    for a, b, c in lines:
        if board[a] and board[a] == board[b] == board[c]:
            return board[a]
    free = [i for i in range(9) if not board[i]]
    mark = 1 if player == 0 else -1
    values = [random_outcome((*board[:i], mark, *board[i + 1 :]), 1 - player) for i in free]
    return sum(values) / len(values) if values else 0.0


@pytest.mark.parametrize(("moves", "cells"), [("", []), ("4,0,8", [4, 0, 8]), ("0,1,4,8,3,5", [0, 1, 4, 8, 3, 5])])
def test_random_games_have_their_exact_mean(moves, cells):
    board = [0] * 9
    for ply, cell in enumerate(cells):
        board[cell] = 1 if ply % 2 == 0 else -1
    states, positions = jax.tree.map(lambda x: jnp.repeat(x, 4000, axis=0), batch(moves))
    play = jax.jit(lambda states, positions, key: playout(GAME, states, positions.legal, positions.terminated, key))
    paid = np.asarray(play(states, positions, jax.random.key(1)))
    assert (paid.sum(-1) == 0).all()
    assert paid[:, 0].mean() == pytest.approx(random_outcome(tuple(board), len(cells) % 2), abs=4 / np.sqrt(4000))


def test_visits_are_the_simulations_and_only_on_legal_moves():
    states, positions = batch("4,0", "4,0,8", "0,1,2,4,3")
    visits, value = map(np.asarray, SEARCH(states, positions, jax.random.key(0)))
    assert visits.sum(-1).tolist() == [1000] * 3
    assert (visits[~np.asarray(positions.legal)] == 0).all()
    assert (np.abs(value) <= 1).all()


def test_it_wins_blocks_and_sees_a_fork():
    """Cell 2 completes a row; 2 is the only answer to two in a row; opposite corners against the centre leave only
    edges, since a corner loses to a fork."""
    states, positions = batch("0,3,1,4", "0,4,1", "0,4,8")
    visits, value = map(np.asarray, SEARCH(states, positions, jax.random.key(1)))
    best = visits.argmax(-1)
    assert best[0] == 2 and value[0, 2] == 1
    assert best[1] == 2
    assert best[2] in (1, 3, 5, 7)


def test_two_searches_differ_only_by_their_keys():
    states, positions = batch("")
    first, again, other = (SEARCH(states, positions, jax.random.key(seed))[0] for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_connect_four_takes_the_win_and_stops_one():
    game = make("connect_four")
    states, positions = batch("3,0,3,0,3,0", "3,0,3,0,3", game=game)
    visits, _ = jax.jit(lambda s, p: uct(game, s, p, jax.random.key(0), 200))(states, positions)
    assert np.asarray(visits).argmax(-1).tolist() == [3, 3]
