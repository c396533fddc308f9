import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.games import minimax
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.envs.games.perfect import solve
from puzzlebox.envs.games.tic_tac_toe import TicTacToeState
from puzzlebox.errors import UsageError

GAME = make("tic_tac_toe")
THREES = ["012", "345", "678", "036", "147", "258", "048", "246"]


def winner(board: str) -> str:
    return next((board[int(a)] for a, b, c in THREES if board[int(a)] == board[int(b)] == board[int(c)] != "."), "")


def every_position() -> dict[str, int]:
    """All positions by strings and plain Python, with the number of games that lead to each."""
    found = {"." * 9: 1}
    layer = dict(found)
    for move in range(9):
        after: dict[str, int] = {}
        for board, games in layer.items():
            if not winner(board):
                for cell in range(9):
                    if board[cell] == ".":
                        child = board[:cell] + "XO"[move % 2] + board[cell + 1 :]
                        after[child] = after.get(child, 0) + games
        found |= after
        layer = after
    return found


POSITIONS = every_position()


def states(boards: list[str]) -> TicTacToeState:
    cells = [[{"X": 1, "O": -1, ".": 0}[c] for c in board] for board in boards]
    over = [bool(winner(board)) or "." not in board for board in boards]
    return TicTacToeState(jnp.array(cells, jnp.int8).reshape(-1, 3, 3), jnp.array(over))


def test_brute_force_finds_the_published_counts():
    assert len(POSITIONS) == 5478
    ends = {board: games for board, games in POSITIONS.items() if winner(board) or "." not in board}
    assert sum(ends.values()) == 255_168
    assert [sum(n for b, n in ends.items() if winner(b) == who) for who in ("X", "O", "")] == [131_184, 77_904, 46_080]


def test_every_move_of_every_position_leads_where_brute_force_says():
    boards = sorted(board for board in POSITIONS if not winner(board) and "." in board)
    step = jax.jit(jax.vmap(jax.vmap(GAME.step, (None, 0, None)), (0, None, None)))
    after, position = jax.tree.map(np.asarray, step(states(boards), jnp.arange(9), jax.random.key(0)))
    for i, board in enumerate(boards):
        mover = "XO"[board.count("X") - board.count("O")]
        for cell in range(9):
            if board[cell] != ".":
                continue
            child = board[:cell] + mover + board[cell + 1 :]
            assert "".join(".XO"[stone] for stone in after.board[i, cell].reshape(9)) == child
            won = {"X": 1.0, "O": -1.0, "": 0.0}[winner(child)]
            assert position.reward[i, cell].tolist() == [won, -won]
            assert position.terminated[i, cell] == (winner(child) != "" or "." not in child)
            assert position.player[i, cell] == "XO".index(mover) ^ 1
            if not position.terminated[i, cell]:
                assert position.legal[i, cell].tolist() == [c == "." for c in child]
                own = "OX"["XO".index(mover)]
                assert position.observation[i, cell].reshape(9, 2).tolist() == [[c == own, c == mover] for c in child]


def test_scores_are_those_of_plain_negamax():
    known: dict[str, int] = {}

    def value(board: str) -> int:  # of the player to move, sooner wins first
        if board not in known:
            mover = "XO"[board.count("X") - board.count("O")]
            if winner(board):
                known[board] = -(6 - board.count(winner(board)))
            elif "." not in board:
                known[board] = 0
            else:
                known[board] = max(
                    -value(board[:cell] + mover + board[cell + 1 :]) for cell in range(9) if board[cell] == "."
                )
        return known[board]

    assert value("." * 9) == 0
    boards = sorted(board for board in POSITIONS if not winner(board) and "." in board)
    assert len(boards) == len(minimax.solve_all()) == 4520
    solved = solve(GAME, states(boards))
    inside = np.asarray(jax.jit(minimax.scores_in_program)(states(boards).board))
    assert np.array_equal(inside, solved.score)
    for board, scores, optimal, best in zip(boards, *solved, strict=True):
        mover = "XO"[board.count("X") - board.count("O")]
        expected = [
            -value(board[:cell] + mover + board[cell + 1 :]) if board[cell] == "." else -100 for cell in range(9)
        ]
        assert scores.tolist() == expected
        assert best.tolist() == [s == max(expected) for s in expected]
        assert optimal.tolist() == [s > -100 and np.sign(s) == np.sign(max(expected)) for s in expected]


def test_a_finished_game_can_be_asked_for_but_nothing_matters():
    solved = solve(GAME, states(["XXXOO...."]))
    assert np.all(solved.score == 0) and np.all(solved.optimal) and np.all(solved.best)


def test_moves_and_boards_as_text():
    state, position = from_moves(GAME, "4, 0 2")
    assert GAME.show(state) == "O 1 X\n3 X 5\n6 7 8"
    assert position.player == 1 and not position.terminated
    read, again = GAME.from_text(GAME.show(state))
    assert np.array_equal(read.board, state.board)
    for a, b in zip(position, again, strict=True):
        assert np.array_equal(a, b)
    assert GAME.from_text("xxx\noo.\n...")[1].terminated


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("XX.\n...\n...", "X has 2 stones and O 0"),
        ("O..\n...\n...", "X has 0 stones and O 1"),
        ("XXX\nOOO\n...", "both X and O have won"),
        ("XXX\nOO.\nO..", "X had won, and O moved after it"),
        ("OOO\nXX.\nXX.", "O had won, and X moved after it"),
        ("X.\n..", "2 rows of 2 cells"),
        ("X..\n.Z.\n..O", "'Z' in row 2"),
    ],
)
def test_boards_that_cannot_occur_are_refused(text, says):
    with pytest.raises(UsageError, match=says):
        GAME.from_text(text)


@pytest.mark.parametrize(
    ("moves", "says"),
    [
        ("0,0", "move 2: '0' is illegal here; legal: 1, 2, 3, 4, 5, 6, 7, 8"),
        ("0,9", "move 2: '9' is no move"),
        ("0,-1", "move 2: '-1' is no move"),
        ("0,3,1,4,2,5", "move 6: '5' comes after the end"),
    ],
)
def test_illegal_moves_are_named(moves, says):
    with pytest.raises(UsageError, match=says):
        from_moves(GAME, moves)
