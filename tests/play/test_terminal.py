"""Playing in the terminal, with moves given, typed or piped."""

import io
import json
import sys

import numpy as np
import pytest

from puzzlebox.cli import main
from puzzlebox.play.players import Choice
from puzzlebox.play.terminal import WIDTH, bar, play_game


class Terminal(io.StringIO):
    """A standard input that is a terminal."""

    def isatty(self):
        return True


def played(capsys, *argv):
    """The result of a play command and what stood beside it."""
    assert main(["play", *argv, "--json"]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def test_moves_given_are_answered_and_the_game_stops_there(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("4\n"))  # not looked at
    game, shown = played(capsys, "connect_four", "--against", "mcts:40", "--moves", "3,3,4")
    assert [move["by"] for move in game["moves"]] == ["you", "them"] * 3
    assert [move["move"] for move in game["moves"][::2]] == ["3", "3", "4"]
    assert not game["finished"] and game["winner"] is None and "3" in game["legal"]
    for move in game["moves"][1::2]:
        assert sum(move["visits"].values()) == 40 and -1 <= move["value"] <= 1
        assert max(move["visits"], key=move["visits"].get) == move["move"]
    assert game["board"] in shown and "mcts:40 plays" in shown and "█" in shown


def test_the_machine_may_begin(capsys):
    game, _ = played(capsys, "tic_tac_toe", "--against", "random", "--moves", "", "--first", "them")
    assert [move["by"] for move in game["moves"]] == ["them"]
    assert "visits" not in game["moves"][0]


def test_two_people_play_to_the_end(capsys):
    game, shown = played(capsys, "tic_tac_toe", "--against", "human", "--moves", "0 3 1 4 2")
    assert game["finished"] and game["winner"] == "player 1" and game["legal"] == []
    assert game["board"] == "X X X\nO O 5\n6 7 8"
    assert "player 1 has won after 5 moves" in shown


def test_a_draw(capsys):
    game, shown = played(capsys, "tic_tac_toe", "--against", "human", "--moves", "0,4,8,1,7,6,2,5,3")
    assert game["winner"] == "nobody" and "a draw after 9 moves" in shown


@pytest.mark.parametrize(
    ("argv", "winner", "words"),
    [
        (["--first", "them", "--moves", "3,4"], "them", "lowest has won after 5 moves"),
        (["--moves", "4,2,6"], "you", "you have won after 5 moves"),
    ],
)
def test_who_has_won(argv, winner, words, capsys, monkeypatch):
    """The opponent takes the lowest free cell: 0, 1, 2."""
    monkeypatch.setattr("puzzlebox.play.terminal.make_player", lambda *_: Lowest())
    game, shown = played(capsys, "tic_tac_toe", "--against", "lowest", *argv)
    assert game["winner"] == winner and words in shown


class Lowest:
    name, varies, simulations = "lowest", False, 0

    def choose(self, states, positions, key):
        return Choice(np.asarray(positions.legal).argmax(-1))


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["--moves", "4,4"], "move 2: '4' is illegal here; legal: 0, 1, 2, 3, 5, 6, 7, 8"),
        (["--moves", "4,x"], "move 2: 'x' is no move; cells are numbered row by row, 0 to 8; legal: 0, 1, 2, 3, 5"),
        (["--moves", "0,3,1,4,2,5"], "move 6: '5' comes after the end of the game"),
        (["--first", "he"], "first is 'he'; it must be me or them"),
        (["--against", "mcts", "--simulations", "0"], "simulations is 0; a search needs at least 1"),
    ],
)
def test_wrong_requests_end_with_one_line(argv, error, capsys):
    assert main(["play", "tic_tac_toe", "--against", "human", *argv]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and errors[0].startswith(f"puzzlebox: {error}")


def test_games_that_there_are_not(capsys):
    assert main(["play", "tic_tac_tow"]) == 2
    assert main(["play", "CartPole-v1"]) == 2
    errors = capsys.readouterr().err
    assert "did you mean tic_tac_toe" in errors and "CartPole-v1 is no game for two players" in errors


def test_typed_moves_and_asking_again(capsys, monkeypatch):
    """An illegal move is told in a line, then the next one is read; an empty line is passed over; the end stops it."""
    monkeypatch.setattr(sys, "stdin", Terminal("9\n\n4\n4\n"))
    monkeypatch.setattr("builtins.input", lambda prompt="": next_line())
    figures = play_game("tic_tac_toe", "human")
    out, err = capsys.readouterr()
    assert [move["move"] for move in figures["moves"]] == ["4"]
    assert err.splitlines() == [
        "'9' is no move; cells are numbered row by row, 0 to 8; legal: 0, 1, 2, 3, 4, 5, 6, 7, 8",
        "'4' is illegal here; legal: 0, 1, 2, 3, 5, 6, 7, 8",
    ]
    assert "player 2 moves; legal: 0, 1, 2, 3, 5, 6, 7, 8" in out


def next_line():
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def test_piped_moves(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("0\n3\n1\n4\n2\n"))
    assert play_game("tic_tac_toe", "human")["winner"] == "player 1"


def test_given_moves_first_then_typed_ones(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("1\n4\n2\n"))
    monkeypatch.setattr("builtins.input", lambda prompt="": next_line())
    assert play_game("tic_tac_toe", "human", moves="0,3")["winner"] == "player 1"


def test_bars():
    assert bar(1) == "█" * WIDTH and bar(0) == " " * WIDTH
    assert bar(0.5 + 1 / (8 * WIDTH)) == "█" * (WIDTH // 2) + "▏" + " " * (WIDTH // 2 - 1)
