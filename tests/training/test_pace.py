"""What is told about time, by hand."""

import pytest

from puzzlebox.training.pace import Pace
from puzzlebox.training.train import speed


def test_what_is_left_is_the_median_step_times_the_steps_left():
    """The first point and the third compiled: 60 s and 31 s, where a step takes 1 s."""
    pace = Pace.__new__(Pace)
    pace.points, pace.steps, pace.total_steps = [(1, 60.0), (2, 61.0), (3, 92.0), (4, 93.0)], 4, 104
    assert pace.duration() == "1 s per step, about 100 s left"


@pytest.mark.parametrize(("steps", "seconds", "shown"), [(2, 60.0, 0.03333), (3, 2.0, 1.5), (10**6, 3.0, 333333.3)])
def test_a_speed_has_digits_that_count(steps, seconds, shown):
    assert speed(steps, seconds) == shown


def test_no_time_no_speed():
    assert speed(3, 0.0) is None and speed(0, 3.0) is None
