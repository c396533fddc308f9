"""The arena's bookkeeping, against players whose games can be told beforehand."""

import json

import jax
import numpy as np
import pytest

from puzzlebox.cli import main
from puzzlebox.envs import make
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.errors import UsageError
from puzzlebox.play import arena, match
from puzzlebox.play.match import Boards, play_match
from puzzlebox.play.players import Choice

GAME = make("tic_tac_toe")
BOARDS = Boards(GAME)


class Lowest:
    """Takes the first legal move, or the last one."""

    varies, simulations = False, 0

    def __init__(self, name="lowest", highest=False):
        self.name, self.highest, self.asked = name, highest, []

    def choose(self, states, positions, key):
        legal = np.asarray(positions.legal)
        self.asked.append((len(legal), int(np.unique(positions.player)[0])))
        last = legal.shape[1] - 1 - legal[:, ::-1].argmax(-1)
        return Choice((last if self.highest else legal.argmax(-1)).astype(np.int32))


class Scripted:
    """Game number i on a board follows script i; both sides read from it."""

    varies, simulations = True, 0

    def __init__(self, scripts):
        self.name, self.scripts = "scripted", scripts

    def choose(self, states, positions, key):
        boards = np.asarray(states.board).reshape(-1, 9)
        number = (boards != 0).sum(-1)
        moves = [self.scripts[i % len(self.scripts)][min(n, 8)] for i, n in enumerate(number)]
        legal = np.asarray(positions.legal)
        return Choice(np.array([m if legal[i, m] else legal[i].argmax() for i, m in enumerate(moves)], np.int32))


def test_a_game_told_beforehand():
    """Lowest against lowest: 0 1 2 3 4 5 6, the first player has 0 2 4 6 and wins on the diagonal 2 4 6."""
    record = play_match(BOARDS, Lowest(), Lowest(), 5, jax.random.key(0))
    assert record.counts() == (5, 0, 0) and record.lengths == [7] * 5
    assert record.distinct == {(0, 1, 2, 3, 4, 5, 6)}


def test_first_and_second_and_whose_wins_they_are():
    """Lowest against highest: 0 8 1 7 2, the one who begins has a row. From either side the beginner wins."""
    figures = arena.meet(BOARDS, Lowest("a"), Lowest("b", highest=True), 3, 0, 0)
    assert figures["as_first"] == {"wins": 3, "draws": 0, "losses": 0}
    assert figures["as_second"] == {"wins": 0, "draws": 0, "losses": 3}
    assert (figures["wins"], figures["draws"], figures["losses"]) == (3, 0, 3)
    assert figures["score"] == 0.5 and figures["elo_difference"] == pytest.approx(0, abs=1e-6)
    assert figures["distinct_games"] == 2 and figures["moves"] == 6 * 5


def test_games_of_different_lengths_are_each_counted_once(monkeypatch):
    """A win in 5, a loss in 6 and a draw in 9 moves, side by side, and more games than boards."""
    scripts = [(0, 3, 1, 4, 2, 5, 6, 7, 8), (0, 3, 1, 4, 8, 5, 2, 6, 7), (0, 4, 8, 1, 7, 6, 2, 5, 3)]
    monkeypatch.setattr(match, "MOST_BOARDS", 3)
    player, heard = Scripted(scripts), []
    record = play_match(BOARDS, player, player, 3, jax.random.key(0), note=heard.append)
    assert record.counts() == (1, 1, 1) and record.lengths == [5, 6, 9] and record.outcomes == [1, -1, 0]
    assert heard == [1, 2, 3]
    many = play_match(BOARDS, player, player, 50, jax.random.key(0))
    assert len(many.lengths) == 50 and len(many.distinct) == 3
    assert all(
        {5: 1, 6: -1, 9: 0}[length] == outcome for length, outcome in zip(many.lengths, many.outcomes, strict=True)
    )
    assert min(many.counts()) > 0


def test_searches_always_have_a_full_batch_of_one_players_turn(monkeypatch):
    monkeypatch.setattr(match, "MOST_BOARDS", 4)
    first, second = Lowest(), Lowest()
    play_match(BOARDS, first, second, 12, jax.random.key(0))
    assert set(first.asked) == {(4, 0)} and len(first.asked) == 3 * 4
    assert {asked[0] for asked in second.asked} == {4}


def test_random_openings_are_the_same_from_both_sides():
    a, b = Lowest("a"), Lowest("b")
    games = [
        play_match(BOARDS, x, y, 40, jax.random.key(seed), opening_plies=2, opening_seed=7)
        for x, y, seed in ((a, b, 0), (b, a, 1))
    ]
    assert games[0].distinct == games[1].distinct and len(games[0].distinct) > 20
    other = play_match(BOARDS, a, b, 40, jax.random.key(0), opening_plies=2, opening_seed=8)
    assert other.distinct != games[0].distinct


def test_openings_are_random_only_where_nobody_varies():
    assert arena.meet(BOARDS, Lowest("a"), Lowest("b"), 20, None, 0)["opening_plies"] == arena.OPENING_PLIES
    varied = Scripted([tuple(range(9))])
    assert arena.meet(BOARDS, Lowest("a"), varied, 2, None, 0)["opening_plies"] == 0


def test_every_game_follows_the_rules_and_equal_keys_give_equal_games():
    player = arena.make_player("random", "tic_tac_toe", GAME)
    record, again, other = (play_match(BOARDS, player, player, 30, jax.random.key(seed)) for seed in (0, 0, 1))
    assert again.distinct == record.distinct != other.distinct
    for moves in record.distinct:
        _, position = from_moves(GAME, ",".join(map(str, moves)))
        assert position.terminated


def test_random_against_random_is_known(capsys):
    """Of all random games the first player wins 58.5%, the second 28.8%, 12.7% are drawn (by going through them)."""
    assert main(["arena", "random", "perfect", "--game", "tic_tac_toe", "--games", "50", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["wins"] == 0 and figures["as_first"]["losses"] + figures["as_first"]["draws"] == 50
    assert figures["as_second"]["draws"] + figures["as_second"]["losses"] == 50
    assert list(figures["elo"]) == ["perfect", "random"]
    player = arena.make_player("random", "tic_tac_toe", GAME)
    record = play_match(BOARDS, player, player, 4000, jax.random.key(3))
    for share, count in zip((0.585, 0.127, 0.288), record.counts(), strict=True):
        assert count / 4000 == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 4000))


def test_plain_tree_search_all_but_never_loses_to_the_perfect_player():
    figures = arena.arena(["mcts:1000", "perfect"], game="tic_tac_toe", games=100)
    assert figures["wins"] == 0 and figures["losses"] <= 6


def test_a_cross_table(capsys):
    assert main(["arena", "random", "mcts:30", "perfect", "--game", "tic_tac_toe", "--games", "20"]) == 0
    printed = capsys.readouterr().out
    assert len([line for line in printed.splitlines() if "against" in line]) == 3
    figures = arena.arena(["random", "mcts:30", "perfect"], game="tic_tac_toe", games=20)
    assert "as_first" not in figures and [(r["a"], r["b"]) for r in figures["table"]] == [
        ("random", "mcts:30"),
        ("random", "perfect"),
        ("mcts:30", "perfect"),
    ]
    assert list(figures["elo"]) == ["perfect", "mcts:30", "random"]
    assert sum(row["elo"] for row in figures["elo"].values()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["random"], {}, "two players or more"),
        (["random", "random"], {}, "random is named twice"),
        (["random", "perfect"], {"game": ""}, "no run among random, perfect, so say"),
        (["random", "perfect"], {"game": "CartPole-v1"}, "CartPole-v1 is no game for two players"),
        (["random", "perfect"], {"games": 0}, "games is 0"),
        (["random", "perfect"], {"opening_plies": -1}, "opening-plies is -1"),
        (["random", "human"], {}, "no player 'human'"),
    ],
)
def test_requests_that_cannot_be(names, options, message):
    with pytest.raises(UsageError, match=message):
        arena.arena(names, **({"game": "tic_tac_toe"} | options))
