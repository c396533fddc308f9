"""Chess beside python-chess; published perft counts are in tests/learning/test_games.py."""

import jax
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.games.pgx_game import PgxState

KIWIPETE = "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1"  # castling, en passant, pins
PROMOTIONS = "n1n5/PPPk4/8/8/8/8/4Kppp/5N1N b - - 0 1"


@pytest.fixture(scope="module")
def game():
    return make("pgx:chess")


@pytest.fixture(scope="module")
def step(game):
    return jax.jit(game.step)


def from_fen(game, fen):
    from pgx.experimental.chess import from_fen

    state = PgxState(from_fen(fen), np.int32(0))
    return state, game.position(state)


def test_random_games_have_the_legal_moves_and_boards_of_python_chess(game, step):
    chess = pytest.importorskip("chess")
    generator = np.random.default_rng(1)
    promotions = 0
    for start in (chess.STARTING_FEN, KIWIPETE, PROMOTIONS.replace(" b ", " w ")):
        board = chess.Board(start)
        state, position = from_fen(game, start)
        for _ in range(40):
            legal = sorted(move.uci() for move in board.legal_moves)
            names = {game.move_name(state, int(a)): int(a) for a in np.flatnonzero(position.legal)}
            assert sorted(names) == legal
            assert position.player == int(board.turn == chess.BLACK)
            lines = [line[2:] for line in game.show(state).splitlines()[:-1]]
            assert lines == str(board).splitlines()
            move = str(generator.choice(legal))
            promotions += len(move) == 5
            board.push_uci(move)
            state, position = step(state, np.int32(names[move]), jax.random.key(0))
            if board.is_checkmate() or board.is_stalemate():
                assert position.terminated
                assert position.reward[int(board.turn == chess.BLACK)] == -board.is_checkmate()
            if position.terminated:
                break
    assert promotions > 0


def test_the_shortest_mate_wins_for_black(game, step):
    state, position = game.reset(jax.random.key(0))
    for move in ("f2f3", "e7e5", "g2g4", "d8h4"):
        assert not position.terminated
        state, position = step(state, np.int32(game.parse_move(state, move)), jax.random.key(0))
    assert position.terminated and position.reward.tolist() == [-1, 1]
