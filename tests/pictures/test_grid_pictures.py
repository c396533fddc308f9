"""Pictures of grids: arrows and colours are where the numbers say."""

import numpy as np
import pytest
from matplotlib.text import Annotation

from puzzlebox.algorithms.tabular.policy_iteration import policy_iteration
from puzzlebox.envs import make
from puzzlebox.envs.gridworld import slippery
from puzzlebox.ops.bellman import to_dense
from puzzlebox.pictures import grid_pictures as pictures


@pytest.fixture(scope="module")
def toy():
    env = make("grid/toy,slip=0.2")  # where moves slip, every cell has one best move
    return env.layout, policy_iteration(env.mdp(), 0.97)


def arrows(axes):
    return [text for text in axes.texts if isinstance(text, Annotation)]


def test_every_best_action_has_an_arrow_that_points_its_way(toy):
    layout, solution = toy
    drawn = arrows(pictures.policy_picture(layout, solution.q_values).axes[0])
    ways = {}
    for arrow in drawn:
        (x0, y0), (x1, y1) = arrow.xyann, arrow.xy
        cell = round((y0 + y1) / 2) * 4 + round((x0 + x1) / 2)
        ways[cell] = (round(x1 - x0, 3) > 0) - (round(x1 - x0, 3) < 0), (y1 > y0) - (y1 < y0)
    compass = {(0, -1): 0, (1, 0): 1, (0, 1): 2, (-1, 0): 3}
    assert {cell: compass[way] for cell, way in ways.items()} == {
        cell: int(solution.policy[cell]) for cell in (0, 1, 2, 4, 6, 8, 9, 10, 11)
    }


def test_equal_actions_all_get_one(toy):
    layout, solution = toy
    q_values = np.zeros_like(solution.q_values)
    q_values[0, 1:3] = 1.0
    assert len(arrows(pictures.policy_picture(layout, q_values).axes[0])) == 2


def test_values_are_written_and_coloured(toy):
    layout, solution = toy
    axes = pictures.value_picture(layout, solution.values).axes[0]
    written = {text.get_text() for text in axes.texts}
    assert {f"{solution.values[cell]:.2f}" for cell in (0, 1, 2, 4, 6, 8, 9, 10, 11)} <= written
    image = np.asarray(axes.images[0].get_array())
    assert image[0, 2] == solution.values[2]


def test_q_and_model_and_side_by_side(toy, tmp_path):
    layout, solution = toy
    triangles = pictures.q_picture(layout, solution.q_values).axes[0].patches
    assert (
        sum(
            len(patch.get_xy()) == 4 for patch in triangles if hasattr(patch, "get_xy") and np.ndim(patch.get_xy()) == 2
        )
        == 36
    )
    mdp = make("grid/toy").mdp()
    transition = to_dense(mdp._replace(terminated=np.zeros_like(mdp.terminated))).transition
    visits = np.zeros((12, 4))
    visits[8, 0] = 5  # one move, tried five times: one arrow
    assert len(arrows(pictures.model_picture(layout, visits, transition).axes[0])) == 1
    parts = [("−2", layout, solution.q_values), ("−0.1", layout, solution.q_values)]
    path = pictures.save(pictures.compare_picture(parts), tmp_path / "two.png")
    assert path.stat().st_size > 5000


def test_large_grids_are_images(tmp_path):
    env = slippery(30)
    solution = policy_iteration(env.mdp(), 0.9)
    for number, figure in enumerate(
        [
            pictures.policy_picture(env.layout, solution.q_values),
            pictures.value_picture(env.layout, solution.values),
            pictures.q_picture(env.layout, solution.q_values),
        ]
    ):
        assert not arrows(figure.axes[0])
        assert pictures.save(figure, tmp_path / f"{number}.png").exists()


def test_numbers_have_three_figures_and_fit_their_cells(toy):
    """A cell of this picture is 0.9 inches wide, 64.8 points; 9.9996 is 10.0, and −0.001 no minus zero."""
    layout, _ = toy
    values = np.full(12, -123.456)
    values[:3] = [-9.9996, 99.96, -0.001]
    axes = pictures.value_picture(layout, values).axes[0]
    numbers = [text for text in axes.texts if text.get_text()[-1].isdigit()]
    assert {text.get_text() for text in numbers} == {"−10.0", "100", "0.00", "−123"}
    assert all(text.get_fontsize() * 0.64 * len(text.get_text()) < 64.8 for text in numbers)
