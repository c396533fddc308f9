"""Laws of the games whose programs take long to compile, and chess by published counts."""

import jax
import numpy as np
import pytest
from pgx.experimental.chess import from_fen

from game_laws import check_game, check_names, check_symmetries, perft
from puzzlebox.envs import make
from puzzlebox.envs.games.pgx_game import PgxState

PUBLISHED = {  # castling, captures in passing and pins; promotions
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1": [48, 2039],
    "n1n5/PPPk4/8/8/8/8/4Kppp/5N1N b - - 0 1": [24, 496],
}


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("pgx:hex", 125),
        ("pgx:go_9x9", 165),
        ("pgx:gardner_chess", 150),
        ("pgx:animal_shogi", 150),
        ("pgx:chess", 120),
        ("pgx:tic_tac_toe", 12),
        ("pgx:connect_four", 45),
    ],
)
def test_games_obey_the_laws_and_their_symmetries(name, moves):
    game = make(name)
    states, positions, _ = check_game(game, moves)
    states, positions = jax.tree.map(lambda leaf: leaf[::10, 0], (states, positions))
    check_names(game, states, positions)
    if len(game.symmetries().action) > 1:
        check_symmetries(game, min(moves, 60))


def test_chess_has_the_published_numbers_of_openings():
    chess = make("pgx:chess")
    step = jax.jit(chess.step)
    assert perft(step, *chess.reset(jax.random.key(0)), 3) == [20, 400, 8902]
    for fen, counts in PUBLISHED.items():
        state = PgxState(from_fen(fen), np.int32(0))
        assert perft(step, state, chess.position(state), len(counts)) == counts
