"""The picture of a tree: places without overlaps, what it leaves out, and the file itself."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from puzzlebox.acting import tree
from puzzlebox.cli import main
from puzzlebox.envs import make
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.pictures import tree_picture

GAME = make("tic_tac_toe")


@pytest.fixture(scope="module")
def root():
    state, position = from_moves(GAME, "4,0")
    return tree.grow(GAME, state, position, tree.random_games(GAME), jax.random.key(0), 80, tree.uct)


def test_no_two_boxes_share_a_place_and_parents_stand_above_their_children(root):
    boxes = tree_picture.arrange(root)
    assert 12 < len(boxes) <= tree_picture.SHOWN
    for depth in {box.depth for box in boxes}:
        places = sorted(box.x for box in boxes if box.depth == depth)
        assert (np.diff(places) >= 1 - 1e-9).all()
    for i, box in enumerate(boxes):
        below = [child.x for child in boxes if child.parent == i]
        assert box.depth <= tree_picture.DEEPEST
        if below:
            assert box.x == pytest.approx((below[0] + below[-1]) / 2)


def test_the_most_visited_are_shown_and_the_rest_is_counted(root):
    boxes = tree_picture.arrange(root)
    shown = [box.node for box in boxes]
    assert shown[0] is root
    assert all(box.node.visits >= (tree_picture.FEWEST if box.depth > 1 else 1) for box in boxes)
    for box in boxes:
        visited = [child for child in box.node.children.values() if child.visits]
        assert box.hidden == len(visited) - sum(any(child is node for node in shown) for child in visited)


def test_the_line_of_most_visits_goes_down_without_a_gap(root):
    boxes = tree_picture.arrange(root)
    main_line = [box for box in boxes if box.main]
    assert [box.depth for box in main_line] == list(range(len(main_line)))
    assert main_line[1].node.visits == max(child.visits for child in root.children.values())


@pytest.mark.parametrize("argv", [["tic_tac_toe", "--moves", "4,0"], ["connect_four"]], ids=lambda argv: argv[0])
def test_the_command_draws_a_picture(argv, tmp_path, capsys):
    out = tmp_path / "pictures" / "tree.png"
    assert main(["tree", *argv, "--player", "mcts", "--simulations", "30", "--out", str(out), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["picture"] == str(out)
    assert sum(child["visits"] for child in figures["children"].values()) == 30
    assert figures["children"][figures["move"]]["visits"] == max(c["visits"] for c in figures["children"].values())
    pixels = np.asarray(Image.open(out).convert("RGB"), float)
    assert min(pixels.shape[:2]) > 300 and pixels.std() > 10


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["tic_tac_toe", "--moves", "0,0"], "move 2: '0' is illegal here"),
        (["tic_tac_toe", "--moves", "0,3,1,4,2"], "the game has ended after 0,3,1,4,2; there is nothing to search"),
        (["tic_tac_toe", "--simulations", "0"], "simulations is 0"),
        (["tic_tac_toe", "--player", "perfect"], "'perfect' has no tree to draw"),
        (["CartPole-v1"], "CartPole-v1 is no game for two players"),
    ],
)
def test_wrong_requests(argv, error, capsys):
    assert main(["tree", *argv]) == 2
    assert error in capsys.readouterr().err
