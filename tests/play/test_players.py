"""Players choose legal moves for whole batches, and refuse what they cannot play."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.cli import main
from puzzlebox.envs import make
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.errors import UsageError
from puzzlebox.play.players import make_player

GAME = make("tic_tac_toe")


def batch(*games, copies=1):
    """The positions after several lists of moves, each so many times in a row, as one batch."""
    boards = [from_moves(GAME, moves) for moves in games]
    return jax.tree.map(lambda *x: jnp.repeat(jnp.stack(x), copies, axis=0), *boards)


def run_directory(path: Path, algorithm="alphazero", env="tic_tac_toe", agents=2):
    """What a run directory says about itself, without anything that was learned."""
    path.mkdir()
    config = {"format": 1, "algorithm": algorithm, "env": env, "agents": [{"seed": i} for i in range(agents)]}
    (path / "config.json").write_text(json.dumps(config | {"sweep": {}, "hyperparameters": {}}))
    return path


@pytest.mark.parametrize("name", ["random", "mcts:20", "perfect"])
def test_every_player_chooses_legal_moves_for_a_batch(name):
    player = make_player(name, "tic_tac_toe", GAME)
    states, positions = batch("", "4", "0,4,8", "0,1,2,4,3", "0,1,2,4,3,5,7,6", copies=4)
    choice = player.choose(states, positions, jax.random.key(0))
    assert choice.action.shape == (20,) and choice.action.dtype == np.int32
    assert np.asarray(positions.legal)[np.arange(20), choice.action].all()
    if choice.visits is not None:
        assert (choice.visits[~np.asarray(positions.legal)] == 0).all()
    if choice.value is not None:
        assert (np.abs(choice.value) <= 1).all()


def test_the_perfect_player_knows_what_a_position_is_worth():
    """Two in a row win; a fork is lost; the empty board is a draw; after a corner only the centre holds."""
    player = make_player("perfect", "tic_tac_toe", GAME)
    states, positions = batch("0,3,1,4", "0,1,4,8,6", "", "0", copies=10)
    choice = player.choose(states, positions, jax.random.key(1))
    assert choice.value is not None
    assert choice.value[::10].tolist() == [1, -1, 0, 0]
    assert set(choice.action[:10]) == {2} and set(choice.action[30:]) == {4}


def test_the_perfect_player_takes_every_best_move():
    """All nine first moves draw."""
    player = make_player("perfect", "tic_tac_toe", GAME)
    choice = player.choose(*batch("", copies=200), jax.random.key(0))
    assert set(choice.action) == set(range(9))


def test_simulations_come_from_the_name_or_the_option():
    assert make_player("mcts", "tic_tac_toe", GAME).simulations == 1000
    assert make_player("mcts", "tic_tac_toe", GAME, simulations=7).simulations == 7
    assert make_player("mcts:50", "tic_tac_toe", GAME, simulations=7).simulations == 50


@pytest.mark.parametrize(
    ("name", "simulations", "message"),
    [
        ("mcts:0", None, "simulations must be a whole number of at least 1"),
        ("mcts:many", None, "simulations must be a whole number"),
        ("mcts", 0, "simulations is 0; a search needs at least 1"),
        ("stockfish", None, "there is no player 'stockfish'"),
        ("runs/none,agent=1", None, "there is no player 'runs/none'"),
    ],
)
def test_players_that_there_are_not(name, simulations, message):
    with pytest.raises(UsageError, match=message):
        make_player(name, "tic_tac_toe", GAME, simulations)


def test_an_agent_of_another_game_is_refused_before_anything_is_built(tmp_path, capsys):
    run = run_directory(tmp_path / "run", env="connect_four")
    assert main(["arena", str(run), "random", "--game", "tic_tac_toe"]) == 2
    assert main(["play", "tic_tac_toe", "--against", str(run), "--moves", "4"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors == [f"puzzlebox: {run} was trained on connect_four, so it cannot play tic_tac_toe"] * 2


def test_what_learned_no_game_is_refused(tmp_path):
    run = run_directory(tmp_path / "run", algorithm="ppo")
    with pytest.raises(UsageError, match="was trained by ppo, which plays no games"):
        make_player(str(run), "tic_tac_toe", GAME)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (",agent=2", "agent is 2; .* has agents 0 to 1"),
        (",agents=2", "did you mean agent"),
        (",agent=x", "agent in .* is 'x'; it must be a whole number"),
        (",2", "'2' in .* is no option"),
    ],
)
def test_options_of_a_run(tmp_path, options, message):
    run = run_directory(tmp_path / "run")
    with pytest.raises(UsageError, match=message):
        make_player(f"{run}{options}", "tic_tac_toe", GAME)
