"""Positions of chess that can be: the judge is python-chess."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puzzlebox.envs.games.fen import read_fields
from puzzlebox.errors import UsageError

STARTS = [
    "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1",
    "rnbqkbnr/pp1ppppp/8/2p5/4P3/8/PPPP1PPP/RNBQKBNR w KQkq c6 0 2",
    "8/8/8/2k5/3Pp3/8/8/4K3 b - d3 0 1",
    "4k3/8/8/8/1b6/8/3N4/4K2r w - - 0 1",
    "8/8/4k3/8/4R3/8/8/4K3 b - - 9 40",
]
WRONG = [
    ("P3k3/8/8/8/8/8/8/p3K3 w - - 0 1", "a pawn stands on the first or last rank"),
    ("4k2r/8/8/8/8/8/8/4K2R w Kk e9 0 1", "its en passant square is 'e9'"),
    ("4k3/8/8/8/8/8/8/4K3 w - e6 0 1", "no pawn can have passed it"),
    ("4k3/4R3/8/8/8/8/8/4K3 w - - 0 1", "White is to move and could take the king"),
    ("4k3/8/8/8/8/8/4r3/4K3 b - - 0 1", "Black is to move and could take the king"),
    ("4k3/8/8/8/8/8/8/4K3 w K - 0 1", "right to castle K"),
    ("4k3/8/8/8/8/8/8/4K2R w HK - 0 1", "its rights to castle are 'HK'"),
    ("4k3/pppppppp/p7/8/8/8/8/4K3 w - - 0 1", "Black has 10 men, 9 of them pawns"),
    ("4k3/8/8/8/r3K2r/8/8/8 w - - 0 1", "no last move can have given this check"),
    ("4k2r/8/8/8/8/8/8/4K2R w Kk - 0 99999999999", "is no number of moves"),
    ("4k2r/8/8/8/8/8/8/4K2R w Kk - -1 1", "is no number of moves"),
    ("4k³/8/8/8/8/8/8/4K3 w - - 0 1", "is no FEN"),
]


@pytest.mark.parametrize(("fen", "message"), WRONG)
def test_what_no_game_comes_to(fen, message):
    with pytest.raises(UsageError) as error:
        read_fields(fen, 8)
    assert message in str(error.value) and fen in str(error.value)


def test_fields_left_out_are_the_usual_ones():
    assert read_fields("8/8/8/2k5/3Pp3/8/8/4K3 b", 8)[2:] == ["-", "-", "0", "1"]


def test_small_chess_has_neither_castling_nor_en_passant():
    assert read_fields("rnbqk/ppppp/5/PPPPP/RNBQK w", 5)[1] == "w"
    for fields in ("KQkq -", "- a3"):
        with pytest.raises(UsageError, match=r"its (rights to castle|en passant square)"):
            read_fields(f"rnbqk/ppppp/5/PPPPP/RNBQK w {fields}", 5)


@given(
    st.sampled_from(STARTS),
    st.lists(st.tuples(st.integers(0, 63), st.sampled_from("..PpNnBbRrQqKk")), max_size=3),
    st.booleans(),
    st.sampled_from([None, "-", "K", "Qk", "KQkq"]),
    st.sampled_from([None, "-", "c6", "d3", "e3", "e6", "a4"]),
)
@settings(max_examples=600, deadline=None)
def test_any_position_is_judged_as_by_python_chess(start, changes, turn, castling, en_passant):
    chess = pytest.importorskip("chess")
    board = chess.Board(start)
    for square, letter in changes:
        board.set_piece_at(square, None if letter == "." else chess.Piece.from_symbol(letter))
    was = start.split()
    fen = " ".join(
        [board.board_fen(), was[1] if turn else {"w": "b", "b": "w"}[was[1]], castling or was[2], en_passant or was[3]]
    )
    status = chess.Board(f"{fen} 0 1").status()
    try:
        read_fields(fen, 8)
        possible = True
    except UsageError:
        possible = False
    assert possible == (status == chess.STATUS_VALID), (fen, status)
