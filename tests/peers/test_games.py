"""Games against other implementations, live: OpenSpiel's Connect 4, tic-tac-toe and Othello, and python-shogi."""

import jax
import numpy as np
import pytest

from puzzlebox.envs import make


@pytest.mark.parametrize(
    ("ours", "theirs", "games"),
    [
        ("connect_four", "connect_four", 200),
        ("tic_tac_toe", "tic_tac_toe", 300),
        ("pgx:connect_four", "connect_four", 50),
        ("pgx:othello", "othello", 60),
    ],
)
def test_random_games_are_those_of_openspiel(ours, theirs, games):
    pyspiel = pytest.importorskip("pyspiel")
    game, generator = make(ours), np.random.default_rng(7)
    step = jax.jit(game.step)
    for _ in range(games):
        other = pyspiel.load_game(theirs).new_initial_state()
        state, position = game.reset(jax.random.key(0))
        while not other.is_terminal():
            assert not position.terminated
            assert np.flatnonzero(position.legal).tolist() == list(other.legal_actions())
            assert position.player == other.current_player()
            move = int(generator.choice(other.legal_actions()))
            other.apply_action(move)
            state, position = step(state, np.int32(move), jax.random.key(0))
        while ours == "pgx:othello" and not position.terminated:  # both pass, where OpenSpiel ends the game at once
            assert np.flatnonzero(position.legal).tolist() == [64]
            state, position = step(state, np.int32(64), jax.random.key(0))
        assert position.terminated and position.reward.tolist() == other.returns()


def test_random_games_are_those_of_python_shogi():
    shogi = pytest.importorskip("shogi")
    game, generator = make("pgx:shogi"), np.random.default_rng(7)
    step = jax.jit(game.step)
    for _ in range(3):
        board = shogi.Board()
        state, _ = game.reset(jax.random.key(0))
        for _ in range(150):
            legal = sorted(move.usi() for move in board.legal_moves)
            names = {game.move_name(state, int(a)): int(a) for a in np.flatnonzero(state.pgx.legal_action_mask)}
            assert sorted(names) == legal
            shown = [line[1:].split()[:9] for line in game.show(state).splitlines()[1:10]]
            assert shown == [[letters(board.piece_at(9 * rank + file)) for file in range(9)] for rank in range(9)]
            move = str(generator.choice(legal))
            board.push_usi(move)
            state, position = step(state, np.int32(names[move]), jax.random.key(0))
            if board.is_checkmate():
                assert position.terminated and position.reward[int(board.turn)] == -1
            if position.terminated or board.is_game_over():
                break


def letters(piece):
    return "." if piece is None else piece.symbol()
