import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.games.connect_four import ConnectFourState
from puzzlebox.envs.games.connect_four_positions import PHASES, load
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.envs.games.perfect import check_solvable, solve
from puzzlebox.errors import UsageError

GAME = make("connect_four")
SCRIPT = "\n".join(["......."] * 5)


def test_counts_of_games_and_of_positions_are_the_published_ones():
    """Sequences of moves and distinct positions (OEIS A212693) by number of moves."""
    step = jax.jit(jax.vmap(jax.vmap(GAME.step, (None, 0, None)), (0, None, None)))
    boards, games = np.zeros((1, 6, 7), np.int8), np.ones(1, int)
    sequences, positions = [], []
    for _ in range(7):
        padded = np.concatenate([boards, np.zeros((16_422 - len(boards), 6, 7), np.int8)])  # one program for all
        state = ConnectFourState(jnp.asarray(padded), jnp.zeros(len(padded), bool))
        after, position = step(state, jnp.arange(7), jax.random.key(0))
        legal = boards[:, 0] == 0
        children, parents = np.asarray(after.board)[: len(boards)][legal], np.repeat(games, legal.sum(-1))
        sequences.append(int(parents.sum()))
        distinct, where = np.unique(children.reshape(-1, 42).view("V42"), return_inverse=True)
        positions.append(len(distinct))
        going_on = np.ones(len(distinct), bool)
        going_on[where.reshape(-1)] = ~np.asarray(position.terminated)[: len(boards)][legal]
        boards = distinct.view(np.int8).reshape(-1, 6, 7)[going_on]
        games = np.bincount(where.reshape(-1), parents)[going_on].astype(int)
    assert sequences == [7, 49, 343, 2401, 16807, 117649, 823536]
    assert positions == [7, 49, 238, 1120, 4263, 16422, 54859]


def test_games_are_those_that_openspiel_recorded():
    recorded = json.loads((Path(__file__).parents[2] / "data/expected/games.json").read_text())["connect_four"]
    step = jax.jit(GAME.step)
    assert {game["returns"][0] for game in recorded} >= {1, -1}
    for game in recorded:
        state, position = GAME.reset(jax.random.key(0))
        for move, legal in zip(game["moves"], game["legal"], strict=True):
            assert not position.terminated
            assert np.flatnonzero(position.legal).tolist() == legal
            state, position = step(state, np.int32(move), jax.random.key(0))
        assert position.terminated and position.reward.tolist() == game["returns"]


def four_in_a_row(board: np.ndarray) -> bool:
    cells = {(int(r), int(c)) for r, c in np.argwhere(board)}
    ways = [(0, 1), (1, 0), (1, 1), (1, -1)]
    return any(all((r + i * dr, c + i * dc) in cells for i in range(4)) for r, c in cells for dr, dc in ways)


def negamax(board: np.ndarray, alpha: int, beta: int) -> int:
    """Plain search with the scores' definition; the mover's stones are 1."""
    stones = int(np.count_nonzero(board))
    if four_in_a_row(board == -1):
        return -(22 - int(np.sum(board == -1)))
    if stones == 42:
        return 0
    for column in (3, 2, 4, 1, 5, 0, 6):
        free = np.flatnonzero(board[:, column] == 0)
        if len(free):
            child = -board
            child[free[-1], column] = -1
            alpha = max(alpha, -negamax(child, -beta, -alpha))
            if alpha >= beta:
                break
    return alpha


def test_held_positions_of_the_end_are_scored_as_plain_search_scores_them():
    held = load("end")
    late = [i for i, moves in enumerate(held.moves) if len(moves) >= 34]
    assert len(late) >= 10
    for i in late:
        board = np.asarray(held.states.board[i]) * (1 if len(held.moves[i]) % 2 == 0 else -1)
        for column in range(7):
            free = np.flatnonzero(board[:, column] == 0)
            expected = -100
            if len(free):
                child = -board
                child[free[-1], column] = -1
                expected = -negamax(child, -22, 22)
            assert held.solution.score[i, column] == expected, (held.moves[i], column)


def test_held_positions_can_occur_and_their_choice_matters():
    held = load()
    assert {phase: int(np.sum(held.phase == phase)) for phase in PHASES} == dict.fromkeys(PHASES, 200)
    assert len({board.tobytes() for board in np.asarray(held.states.board)}) == 600
    legal = np.asarray(held.states.board)[:, 0] == 0
    assert np.array_equal(held.solution.score > -100, legal)
    assert np.all(held.solution.optimal.any(1)) and not np.any(np.all(held.solution.optimal == legal, axis=1))
    assert np.all(held.solution.best <= held.solution.optimal)
    for phase, moves in zip(held.phase, held.moves, strict=True):
        assert PHASES[phase][0] <= len(moves) <= PHASES[phase][1]
    for i in range(0, 600, 50):
        state, position = from_moves(GAME, ",".join(held.moves[i]))
        assert np.array_equal(state.board, held.states.board[i]) and not position.terminated
        assert np.array_equal(GAME.from_text(GAME.show(state))[0].board, state.board)


def test_the_solver_knows_that_only_the_centre_wins():
    pytest.importorskip("bitbully")
    state, _ = from_moves(GAME, "")
    assert solve(GAME, state).score.tolist() == [-2, -1, 0, 1, 0, -1, -2]  # Allis 1988: won with the last stone but one
    assert solve(GAME, from_moves(GAME, "3,3,4")[0]).optimal.tolist() == [c in (2, 5) for c in range(7)]


def test_the_solver_scores_the_held_positions_as_they_are_stored():
    pytest.importorskip("bitbully")
    held = load()
    some = [i for i, moves in enumerate(held.moves) if len(moves) <= 11 or len(moves) >= 22][::5]
    states = jax.tree.map(lambda leaf: leaf[np.array(some)], held.states)
    for found, stored in zip(solve(GAME, states), held.solution, strict=True):
        assert np.array_equal(found, stored[some])


def test_a_finished_game_can_be_asked_for_but_nothing_matters():
    pytest.importorskip("bitbully")
    state, position = from_moves(GAME, "3,4,3,4,3,4,3")
    assert position.terminated
    assert np.all(solve(GAME, state).score == 0)


def test_games_without_a_perfect_player_say_so():
    with pytest.raises(UsageError, match="no perfect player of hex; there is one of: tic_tac_toe, connect_four"):
        check_solvable(make("pgx:hex"))


def test_a_missing_solver_names_its_package(monkeypatch):
    from puzzlebox.envs.games import connect_four_solver

    connect_four_solver.solver.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "bitbully.bitbully_core", None)
    with pytest.raises(UsageError, match=r"pip install 'puzzlebox\[games\]'"):
        check_solvable(GAME)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SCRIPT + "\nXX.....", "X has 2 stones and O 0"),
        ("\n".join(["......."] * 4) + "\nX......\n......O", "column 0, row 5 from the top, floats"),
        ("\n".join(["......."] * 4) + "\nXXXX...\nOOOO...", "both X and O have won"),
        ("\n".join(["......."] * 4) + "\nO......\nXXXXOOO", "X had won, and O moved after it"),
        ("\n".join(["......."] * 4) + "\nX......\nO......", "no order of moves"),
        ("\n".join(["......."] * 4) + "\nOOXO...\nXXXXOXO", "no order of moves"),
        (SCRIPT, "5 rows of 7 cells"),
        (SCRIPT + "\n...", "6 rows of 3 or 7 cells"),
        (SCRIPT + "\nXO?....", "'\\?' in row 6"),
    ],
)
def test_boards_that_cannot_occur_are_refused(text, says):
    with pytest.raises(UsageError, match=says):
        GAME.from_text(text)


def test_a_won_board_is_read():
    board = "\n".join(["......."] * 4) + "\nOOO....\nXXXX..."
    state, position = GAME.from_text(board)
    assert position.terminated and np.all(position.legal)
    assert GAME.show(state) == " ".join(board).replace(" \n ", "\n") + "\n0 1 2 3 4 5 6"


@pytest.mark.parametrize(
    ("moves", "says"),
    [
        ("3,3,3,3,3,3,3", "move 7: '3' is illegal here; legal: 0, 1, 2, 4, 5, 6"),
        ("3,7", "move 2: '7' is no move; columns are numbered from the left, 0 to 6"),
        ("3,4,3,4,3,4,3,0", "move 8: '0' comes after the end"),
    ],
)
def test_illegal_moves_are_named(moves, says):
    with pytest.raises(UsageError, match=says):
        from_moves(GAME, moves)
