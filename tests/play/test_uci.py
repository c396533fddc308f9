"""UCI: what an engine answers line by line, and a chess program that hosts it."""

import io
import os
import queue
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from puzzlebox.cli import main
from puzzlebox.envs import make
from puzzlebox.errors import UsageError
from puzzlebox.play.players import Choice
from puzzlebox.play.uci import COMMANDS, NUMBERS, Engine, uci, understood

GAME = make("tic_tac_toe")  # the protocol does not care which game it is


class Searching:
    """Gives every move a few visits, the third legal one most."""

    name, varies, simulations = "searching", False, 10

    def __init__(self):
        self.searches = 0

    def choose(self, states, positions, key):
        self.searches += 1
        legal = np.flatnonzero(np.asarray(positions.legal)[0])
        visits = np.zeros((1, 9))
        visits[0, legal] = 1
        visits[0, legal[2 % len(legal)]] = 8
        return Choice(visits.argmax(-1), visits, np.array([0.5]))


@pytest.fixture
def engine():
    return Engine(GAME, Searching(), io.StringIO(), seed=0)


def answer(engine, *lines, arrived=()):
    """What it says to these lines; ``arrived`` lies in the queue while it thinks."""
    engine.write = io.StringIO()
    waiting = queue.Queue()
    for line in arrived:
        waiting.put(line)
    going = [engine.hear(line, waiting) for line in lines]
    return engine.write.getvalue().splitlines(), going[-1]


def test_greeting(engine):
    said, going = answer(engine, "uci", "isready", "ucinewgame", "", "debug on")
    assert said[0].startswith("id name puzzlebox") and said[-2:] == ["uciok", "readyok"] and going


def test_position_and_go(engine):
    said, _ = answer(engine, "position startpos moves 0 1", "go")
    assert said[-1] == "bestmove 4"
    assert said[-2].startswith("info depth 1 nodes ")
    # σ on Elo's scale: value ½ is odds of 3 to 1.
    assert f"score cp {400 * np.log10(3):.0f} pv 4" in said[-2]


def test_fen_and_what_cannot_be(engine):
    answer(engine, "position startpos moves 0 1")
    said, _ = answer(engine, "position startpos moves 0 0", "go")
    assert said[0].startswith("info string '0' is illegal here") and said[-1] == "bestmove 4"
    said, _ = answer(engine, "position fen X O . . . . . . .", "go")
    assert said[0].startswith("info string this board has")


@pytest.mark.parametrize(
    "fen",
    [
        "8/8/8/8/8/8/8/8 w - - 0 1",
        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBN w KQkq - 0 1",
        "k7/8/8/8/8/8/8/7K x",
        "hello",
    ],
)
def test_what_is_no_fen(fen):
    with pytest.raises(UsageError, match="is no FEN"):
        make("pgx:chess").from_text(fen)


def test_the_end_of_a_game_has_no_move(engine):
    said, _ = answer(engine, "position startpos moves 0 3 1 4 2", "go nodes 100")
    assert said == ["bestmove 0000"]


@pytest.mark.parametrize(("limit", "searches"), [("nodes 40", 4), ("nodes 3", 1), ("depth 3", 3), ("nodes 0", 1)])
def test_limits_count_searches(engine, limit, searches):
    said, _ = answer(engine, f"go {limit}")
    assert engine.player.searches == searches and len(said) == searches + 1


def test_words_before_a_command_are_left_out(engine):
    """The protocol's own example: "joho debug on" switches its debug mode on."""
    assert answer(engine, "joho isready")[0] == ["readyok"]
    assert answer(engine, "position joho startpos moves 0 1", "please go depth 1")[0][-1] == "bestmove 4"
    assert answer(engine, "hello", "éè²\x00", "setoption name Hash value 16", "register later") == ([], True)


def test_a_position_that_says_nothing_changes_nothing(engine):
    answer(engine, "position startpos moves 0 1")
    said, _ = answer(engine, "position", "position moves 2", "go")
    assert [line.startswith("info string a position is startpos or fen") for line in said[:2]] == [True, True]
    assert said[-1] == "bestmove 4"


@pytest.mark.parametrize("limit", ["depth --5", "depth ²", "nodes " + 5000 * "9", "wtime x", "movetime 1e3", "depth"])
def test_a_limit_that_is_no_number_is_told_and_left_out(engine, limit):
    said, _ = answer(engine, f"go {limit}")
    assert said[0].startswith(f"info string {limit.split()[0]} is '") and said[-1].startswith("bestmove")
    assert engine.player.searches == 1


WORDS = st.sampled_from(
    [*COMMANDS, *NUMBERS, "infinite", "startpos", "fen", "moves", "0", "4", "-1", "1e9", "²", "--5", "99999999999"]
)
LINES = st.lists(WORDS | st.text(max_size=5), max_size=8).map(" ".join)


@given(st.lists(LINES, max_size=4))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_line_ends_the_engine(engine, lines):
    """Whatever is said, a greeting is answered afterwards, and ``go`` by one move (``quit`` comes while it thinks)."""
    for line in lines:
        said, _ = answer(engine, line, arrived=["quit"])
        assert sum(part.startswith("bestmove") for part in said) == (understood(line)[0] == "go")
    assert answer(engine, "uci")[0][-1] == "uciok"


def test_clocks(engine):
    assert engine.budget({"wtime": 60_000, "movestogo": 0}) == engine.budget({"wtime": 60_000})
    assert engine.limits(["wtime", "-20", "movestogo", "0"]) == {"wtime": 0, "movestogo": 0}
    assert engine.budget({"movetime": 250}) == (np.inf, 0.25)
    # White's clock: a thirtieth of what is left and most of the gain; never more than half of what is left.
    assert engine.budget({"wtime": 60_000, "btime": 1, "winc": 1000})[1] == pytest.approx(2 + 0.8)
    assert engine.budget({"wtime": 60_000, "movestogo": 1})[1] == pytest.approx(30)
    answer(engine, "position startpos moves 0")
    assert engine.budget({"wtime": 60_000, "btime": 3000})[1] == pytest.approx(0.1)


def test_stop_and_quit_while_it_thinks(engine):
    said, going = answer(engine, "go infinite", arrived=["isready", "stop"])
    assert said[-1].startswith("bestmove") and "readyok" in said and going
    said, going = answer(engine, "go infinite", arrived=["joho stop"])
    assert said[-1].startswith("bestmove") and going
    assert answer(engine, "go infinite", arrived=["quit"])[1] is False
    assert answer(engine, "go infinite", arrived=[None])[1] is False
    assert answer(engine, "quit") == ([], False)


def test_thinking_ends_with_the_clock(engine):
    said, _ = answer(engine, "go movetime 30")
    assert said[-1].startswith("bestmove") and engine.player.searches > 1


def test_only_chess_is_played(tmp_path, capsys):
    with pytest.raises(UsageError, match="there is no run among perfect, so give one of pgx:chess"):
        uci("perfect")
    (tmp_path / "config.json").write_text('{"format": 1, "env": "connect_four"}')
    assert main(["uci", str(tmp_path)]) == 2
    assert "was trained on connect_four; UCI is spoken by players of pgx:chess" in capsys.readouterr().err


def test_a_chess_program_hosts_it():
    """python-chess starts the command, asks for a move in several positions and checks that it is legal."""
    chess = pytest.importorskip("chess")
    from chess.engine import Limit, SimpleEngine

    command = [sys.executable, "-m", "puzzlebox", "uci", "random"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    with SimpleEngine.popen_uci(command, timeout=120, env=environment) as engine:
        assert engine.id["name"].startswith("puzzlebox")
        board = chess.Board()
        for _ in range(4):
            board.push(engine.play(board, Limit(nodes=1)).move)  # raises where the move is illegal
        promotes = chess.Board("8/P6k/8/8/8/8/7K/8 w - - 0 1")
        assert engine.play(promotes, Limit(time=0.1)).move in promotes.legal_moves
        castles = chess.Board("r3k2r/8/8/8/8/8/8/R3K2R b KQkq - 0 1")
        assert engine.play(castles, Limit(depth=1)).move in castles.legal_moves


def test_a_position_no_game_comes_to_is_refused_and_the_last_one_stays(monkeypatch):
    """Lines as a broken program sends them, in bytes; the rules are in tests/envs/games/test_fen.py."""
    lines = [
        "position startpos moves e2e4",
        "position fen P3k3/8/8/8/8/8/8/p3K3 w - - 0 1",
        "position fen 4k2r/8/8/8/8/8/8/4K2R w Kk e9 0 1",
        "position fen 4k3/4R3/8/8/8/8/8/4K3 w - - 0 1",
        "position fen 4k2r/8/8/8/8/8/8/4K2R w Kk - 0 99999999999",
        "position fen \xff²/8",
        "go wtime 1000 btime 1000 movestogo 0",
        "quit",
    ]
    stdin = io.TextIOWrapper(io.BytesIO("\n".join(lines).encode("latin-1")), encoding="utf-8")
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "stdout", stdout)
    assert uci("random")["moves"] == 1
    said = stdout.buffer.getvalue().decode("ascii").splitlines()
    assert [line.startswith("info string") for line in said] == [True] * 5 + [False]
    assert said[-1][:10] == "bestmove " + said[-1][9] and said[-1][10] in "678"  # Black's, from its own first ranks
