"""The readable tree: simulations by hand, the law of its bookkeeping, and moves that must be found."""

import jax
import numpy as np
import pytest

from puzzlebox.acting import tree
from puzzlebox.acting.tree import Guess, Node
from puzzlebox.envs import make
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.types import Position

GAME = make("tic_tac_toe")


def nodes(root):
    yield root
    for child in root.children.values():
        yield from nodes(child)


def grown(moves, simulations, evaluate=None, score=tree.puct):
    state, position = from_moves(GAME, moves)
    return tree.grow(GAME, state, position, evaluate or tree.random_games(GAME), jax.random.key(0), simulations, score)


def flat(first_player_gets):
    """Every move alike, every position worth the same."""

    def evaluate(state, position, key):
        legal = np.asarray(position.legal, float)
        return Guess(legal / legal.sum(), np.array([first_player_gets, -first_player_gets]))

    return evaluate


def test_puct_and_uct_by_hand():
    position = Position(np.zeros(1), np.ones(2, bool), np.int32(1), np.zeros(2), np.bool_(False))
    parent = Node(position=position, visits=16)
    child = Node(prior=0.3, visits=3, total=np.array([1.5, -1.5]))
    # Player 1 chooses: Q = −1.5 / 3, and 1.25 · 0.3 · √16 / (1 + 3).
    assert tree.puct(parent, child) == pytest.approx(-0.5 + 0.375)
    assert tree.uct(parent, child) == pytest.approx(-0.5 + np.sqrt(np.log(16) / 3))
    assert tree.uct(parent, Node()) == np.inf
    # Never visited: a draw, and 1.25 · 1 · √16 / 1.
    assert tree.puct(parent, Node()) == pytest.approx(5.0)


def test_the_first_simulations_by_hand():
    """O to move, cells 2 and 8 free, 2 wins at once. Every guess is a draw, P = ½ each.

    1: nothing was visited, both scores are 0, the first cell is taken: Q(2) = 1.
    2: 1 + 1.25·½·√1/2 = 1.31 against 0 + 1.25·½·√1/1 = 0.63: again 2, and so on.
    """
    state, position = GAME.from_text("O O .\nX X O\nX X .")
    root = tree.grow(GAME, state, position, flat(0.0), jax.random.key(0), 3, tree.puct)
    assert {action: child.visits for action, child in root.children.items()} == {2: 3, 8: 0}
    assert root.children[2].value(1) == 1 and root.value(1) == 1 and root.value(0) == -1
    assert root.children[2].terminated and not root.children[2].children


@pytest.mark.parametrize("score", [tree.puct, tree.uct])
def test_visits_and_totals_add_up(score):
    root = grown("4,0", 60, score=score)
    assert root.visits == 60
    for node in nodes(root):
        if node.visits and not node.terminated:
            inside = sum(child.visits for child in node.children.values())
            assert inside == node.visits - (node is not root)
            assert set(node.children) == set(np.flatnonzero(node.position.legal))
            assert sum(child.prior for child in node.children.values()) == pytest.approx(1)
        assert node.total[0] == -node.total[1]
        assert abs(node.value(0)) <= 1


@pytest.mark.parametrize(
    ("moves", "answer"),
    [("0,3,1,4", 2), ("0,8,1,3,7,4", 2), ("0,4,1", 2), ("4,0,2", 6)],
    ids=["wins", "wins late", "blocks", "blocks a diagonal"],
)
@pytest.mark.parametrize("score", [tree.puct, tree.uct])
def test_it_wins_at_once_and_blocks(moves, answer, score):
    root = grown(moves, 150, score=score)
    assert tree.best(root) == answer


def test_a_network_is_asked_for_the_player_to_move():
    asked = []

    def predict(observation):
        asked.append(observation.shape)
        return np.array([[0.0, 5.0, 0, 0, 0, 0, 0, 0, 9.0]], np.float32), np.array([0.5], np.float32)

    evaluate = tree.networks(predict)
    guess = evaluate(*from_moves(GAME, "8"), jax.random.key(0))
    assert asked == [(1, 3, 3, 2)]
    assert guess.prior[8] == 0 and guess.prior.sum() == pytest.approx(1)
    assert guess.prior[1] / guess.prior[0] == pytest.approx(np.exp(5), rel=1e-5)
    assert guess.outcome.tolist() == [-0.5, 0.5]  # it is the second player's turn


def test_equal_keys_grow_equal_trees():
    first, second = (grown("4", 40, score=tree.uct) for _ in range(2))
    assert [n.visits for n in nodes(first)] == [n.visits for n in nodes(second)]
