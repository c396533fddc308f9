"""The solve command from Python: what it returns, what it refuses, and what it draws."""

import json

import numpy as np
import pytest
from PIL import Image

from puzzlebox.envs import make
from puzzlebox.errors import UsageError
from puzzlebox.pictures.grid_notation import policy_text, read_path, read_policy, value_text
from puzzlebox.studies.solve import METHODS, solve, summary_lines

# The 5×5 robot: ....G / .##H. / ..... / .#.#. / .....
WAY_ROUND, THROUGH_THE_HOLE, ACROSS = "4,0:NNNNEEEE", "4,0:NNEEENN", "4,0>3,0>2,0>2,1>2,2>2,3>2,4>1,4>0,4"


def test_three_paths_of_the_robot_by_hand():
    answer = solve("grid/robot", 1.0, paths=(THROUGH_THE_HOLE, WAY_ROUND, ACROSS))
    through, around, across = answer["paths"]
    # Seven moves at −1 and the goal; five moves at −1 and the hole, after which the rest of the path is not walked.
    assert (around["expected_return"], around["expected_steps"], around["optimal"]) == (93.0, 8.0, True)
    assert (through["expected_return"], through["expected_steps"], through["optimal"]) == (-55.0, 6.0, False)
    assert across["expected_return"] == 93.0
    assert answer["best_path"] == WAY_ROUND
    assert through["end_rewards"] == {"-50": 1.0}
    assert "best of these: " + WAY_ROUND in summary_lines(answer)


@pytest.mark.parametrize("method", METHODS)
def test_the_answer_is_whole_and_plain_json(method):
    answer = json.loads(json.dumps(solve("grid/toy", 0.97, method)))
    assert {"env", "gamma", "method", "values", "policy", "iterations", "residual", "seconds", "start_value"} <= set(
        answer
    )
    assert len(answer["values"]) == len(answer["policy"]) == 12
    assert answer["error_bound"] <= 1e-6
    assert answer["start_value"] == answer["values"][8]


def test_policies_are_judged():
    own = solve("grid/toy", 0.97)["policy"]
    check = solve("grid/toy", 0.97, policy=",".join(map(str, own)))["policy_check"]
    assert check["optimal"]
    assert check["mistakes"] == []
    assert abs(check["start_loss"]) < 1e-6
    walls = solve("grid/toy", 0.97, policy="N")["policy_check"]
    assert not walls["optimal"]
    # Always north ends against the wall of the corner, at −0.1 for ever. The best way is four steps, then the goal.
    assert walls["start_loss"] == pytest.approx(sum(-0.1 * 0.97**t for t in range(4)) + 0.97**4 + 0.1 / (1 - 0.97))
    assert walls["mistakes"]
    assert "not optimal" in walls["sentence"]


def test_reading_policies_and_paths():
    env = make("grid/toy")
    mdp, layout = env.mdp(), env.layout
    assert read_policy("EEE. N#E. WWWS", mdp, layout).tolist() == [1, 1, 1, 0, 0, 0, 1, 0, 3, 3, 3, 2]
    assert read_policy("random", mdp, layout).tolist() == [[0.25] * 4] * 12
    assert read_path("NNEEE", mdp, layout)[1:] == (8, [0, 0, 1, 1, 1])
    assert read_path("2,1:WN", mdp, layout)[1:] == (9, [3, 0])
    assert read_path("2,1>2,0>1,0", mdp, layout)[1:] == (9, [3, 0])
    assert read_path("9:3,0", mdp, None)[1:] == (9, [3, 0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "value_iterations"}, "did you mean value_iteration"),
        ({"discount": 1.01}, r"gamma is 1\.01"),
        ({"paths": ("2,0:NNX",)}, "'X' in 2,0:NNX is no move; use E, N, S, W"),
        ({"paths": ("5,0:N",)}, "row '5' is not a whole number from 0 to 2"),
        ({"paths": ("2,0>0,0",)}, "are no neighbours"),
        ({"policy": "NNN"}, "has 3 moves; this map has 12 cells"),
    ],
)
def test_bad_requests_are_one_clear_line(arguments, words):
    with pytest.raises(UsageError, match=words) as caught:
        solve("grid/toy", **arguments)
    assert "\n" not in str(caught.value)


def test_a_path_needs_a_start_where_there_are_many():
    with pytest.raises(UsageError, match="starts in 19 states"):
        solve("grid/robot", paths=("NN",))


def test_worlds_without_a_table_are_refused():
    with pytest.raises(UsageError, match="cannot be solved exactly: it does not publish its transitions; train"):
        solve("CartPole-v1")


def test_what_a_map_makes_unsolvable_is_named_by_row_and_column(tmp_path):
    (tmp_path / "closed.txt").write_text("G.#.\n####\n")
    with pytest.raises(UsageError, match=r"with gamma 1 cell 0,3 \(row, column from 0\) has no finite value"):
        solve(f"grid:{tmp_path}/closed.txt", discount=1.0)
    # In grid/toy the hole lies at 1,3; the first cell from which a move enters it is 1,2, to the east.
    with pytest.raises(UsageError, match=r"cell 1,2 \(row, column from 0\), action 1 has the reward -inf; rewards"):
        solve("grid/toy,hole_reward=-inf")


def test_text_of_a_grid():
    layout = make("grid/toy").layout
    arrows = policy_text(layout, np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 3, 3, 3]))
    assert arrows == "→ → → G\n↑ █ ↑ H\n↑ ← ← ←"
    assert value_text(layout, np.arange(12) / 2).splitlines()[2] == "4.00 4.50 5.00 5.50"


def test_pictures_are_drawn(tmp_path):
    answer = solve("grid/toy", 0.97, out=tmp_path / "new")
    assert [path.rpartition("/")[2] for path in answer["pictures"]] == ["policy.png", "values.png", "q_values.png"]
    for path in answer["pictures"]:
        with Image.open(path) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 20
