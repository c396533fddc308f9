import json
from pathlib import Path

import jax
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.envs.games.pgx_game import GAMES
from puzzlebox.errors import UsageError

EXPECTED = json.loads((Path(__file__).parents[2] / "data/expected/games.json").read_text())


def test_othello_games_are_those_that_openspiel_recorded():
    """Both number cells and the pass alike; Pgx lets both players pass where OpenSpiel ends the game at once."""
    game = make("pgx:othello")
    step = jax.jit(game.step)
    passes = 0
    for recorded in EXPECTED["othello"]:
        state, position = game.reset(jax.random.key(0))
        for move, legal in zip(recorded["moves"], recorded["legal"], strict=True):
            assert not position.terminated
            assert np.flatnonzero(position.legal).tolist() == legal
            passes += move == 64
            state, position = step(state, np.int32(move), jax.random.key(0))
        while not position.terminated:
            assert np.flatnonzero(position.legal).tolist() == [64]
            state, position = step(state, np.int32(64), jax.random.key(0))
        assert position.reward.tolist() == recorded["returns"]
    assert passes > 0


def test_seats_drawn_by_chance_do_not_matter():
    game = make("pgx:tic_tac_toe")
    own = make("tic_tac_toe")
    step, own_step = jax.jit(game.step), jax.jit(own.step)
    for seed in range(6):
        state, position = game.reset(jax.random.key(seed))
        same, same_position = own.reset(jax.random.key(0))
        for move in (4, 0, 2, 6, 3, 5, 8, 1) if seed % 2 else (0, 3, 1, 4, 8, 5):
            assert position.player == same_position.player
            assert np.array_equal(position.observation, same_position.observation)
            state, position = step(state, np.int32(move), jax.random.key(0))
            same, same_position = own_step(same, np.int32(move), jax.random.key(0))
            assert np.array_equal(position.reward, same_position.reward)
            assert position.terminated == same_position.terminated
    assert {int(game.reset(jax.random.key(seed))[0].first) for seed in range(6)} == {0, 1}


def test_othello_as_text():
    game = make("pgx:othello")
    state, position = from_moves(game, "d3,c3")
    assert game.show(state).splitlines()[2:5] == [" 2 . . . . . . . .", " 3 . . O X . . . .", " 4 . . . O X . . ."]
    assert position.player == 0
    with pytest.raises(UsageError, match="move 1: 'a1' is no legal move here; legal are 4, the nearest: "):
        from_moves(game, "a1")


def test_hex_as_text_and_its_swap():
    game = make("pgx:hex")
    state, _ = from_moves(game, "b1")
    assert game.show(state).splitlines()[:2] == ["   a b c d e f g h i j k", " 1 . X . . . . . . . . ."]
    swapped, _ = from_moves(game, "b1,swap")
    assert game.show(swapped).splitlines()[2] == "  2 O . . . . . . . . . ."


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pgx:otello", "unknown Pgx game 'otello'; did you mean othello"),
        ("pgx:backgammon", "pgx:backgammon has dice"),
        ("pgx:kuhn_poker", "hides cards"),
        ("pgx:othello,size=9", "pgx:othello has no options"),
        ("tic_tac_tow", "did you mean tic_tac_toe"),
    ],
)
def test_wrong_names_are_answered(name, says):
    with pytest.raises(UsageError, match=says):
        make(name)


def test_every_game_of_pgx_is_ours_or_has_a_reason():
    import pgx

    from puzzlebox.envs.games.pgx_game import OTHERS

    assert set(pgx.available_envs()) | {"bridge_bidding"} == set(GAMES) | set(OTHERS)
