"""Observations and rewards of Gymnasium's environments, held against their spaces."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from puzzlebox.envs.gymnasium_observations import Unfit, convert_observations
from puzzlebox.envs.gymnasium_worker import Slices
from puzzlebox.errors import PuzzleboxError, UsageError

UNIT = spaces.Box(-1, 1, (3,), np.float32)
BYTES = spaces.Box(0, 255, (3,), np.uint8)
BLACKJACK = spaces.Tuple([spaces.Discrete(32), spaces.Discrete(11), spaces.Discrete(2)])
UNBOUNDED = spaces.Box(-np.inf, np.inf, (2,), np.int64)

FIT = {
    "reals": (UNIT, np.array([0.5, -1, 1]), [0.5, -1, 1]),
    "a list": (UNIT, [0, 0.5, 1], [0, 0.5, 1]),
    "bytes": (BYTES, np.array([0, 7, 255], np.uint8), [0, 7, 255]),
    "whole numbers of another type": (BYTES, np.array([0, 7, 255]), [0, 7, 255]),
    "discrete": (spaces.Discrete(4, start=1), np.int64(4), 3),
    "digits": (BLACKJACK, (21, 10, 1), 21 * 22 + 10 * 2 + 1),
    "many digits": (spaces.Tuple([spaces.Discrete(1000)] * 3), (1, 2, 999), [1, 2, 999]),
    "multi-discrete": (spaces.MultiDiscrete([3, 4], start=[1, 0]), np.array([3, 3]), [2, 3]),
    "integers without bounds": (UNBOUNDED, np.array([5, -3]), [5, -3]),
    # One-hot 2 of 3, then the box: keys in the order of the space.
    "dict": (spaces.Dict(a=spaces.Discrete(3), b=UNIT), {"b": np.float32([0.5, 0, 1]), "a": 2}, [0, 0, 1, 0.5, 0, 1]),
}


@pytest.mark.parametrize("kind", FIT)
def test_what_fits_is_converted(kind):
    space, value, expected = FIT[kind]
    converted, encode = convert_observations("x", space)
    for thorough in (False, True):
        np.testing.assert_array_equal(encode(value, thorough), expected)
    assert converted.contains(np.asarray(encode(value), converted.dtype))


UNFIT = {
    "reals in bytes": (BYTES, np.array([0.1, 0.4, 0.9]), r"\[0.1 0.4 0.9\] \(float64, .* whole numbers in Box\(0"),
    "too large for bytes": (BYTES, np.array([256, -1, 300]), r"\[256  ?-1 300\] \(int64, shape \(3,\)\); its"),
    "one number": (UNIT, 0.5, r"0.5 \(float\); its space is Box\(-1.0, 1.0, \(3,\), float32\)"),
    "none": (UNIT, None, r"None \(NoneType\); its space is Box"),
    "text": (UNIT, "abc", r"abc \(str\); its space"),
    "rows of different lengths": (UNIT, [[1], [1, 2]], r"\[\[1\], \[1, 2\]\] \(list\); its space"),
    "another shape": (UNIT, np.zeros((3, 1), np.float32), r"shape \(3, 1\)"),
    "beyond discrete": (spaces.Discrete(4), 4, r"4 \(int\); its space is Discrete\(4\)"),
    "below its start": (spaces.Discrete(4, start=1), 0, r"0 \(int\); its space is Discrete\(4, start=1\)"),
    "half a discrete": (spaces.Discrete(4), 1.5, r"1.5 \(float\)"),
    "a digit too large": (BLACKJACK, (31, 11, 0), "11"),
    "a digit too few": (BLACKJACK, (31, 1), r"\(31, 1\) \(tuple\)"),
    "beyond multi-discrete": (spaces.MultiDiscrete([3, 4]), np.array([3, 0]), r"\[3 0\]"),
    "beyond 32 bits": (UNBOUNDED, np.array([2**33, 0]), "beyond 32 bits cannot be kept, so give them as a Box"),
    "beyond signed": (spaces.Box(0, 2**32 - 1, (1,), np.uint32), np.array([3_000_000_000], np.uint32), "beyond 32"),
    "dict without a key": (spaces.Dict(a=spaces.Discrete(3), b=UNIT), {"a": 2}, r"\{'a': 2\} \(dict\); its"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_what_does_not_fit_is_one_line(kind):
    space, value, message = UNFIT[kind]
    encode = convert_observations("x", space)[1]
    for thorough in (False, True):
        with pytest.raises(Unfit, match=message) as caught:
            encode(value, thorough)
        assert "\n" not in str(caught.value)


def test_bounds_of_reals_are_asked_at_first_and_rounding_is_forgiven():
    encode = convert_observations("x", UNIT)[1]
    encode(np.float32([1.000001, 0, 0]), thorough=True)
    encode(np.float32([1.1, 0, 0]))
    with pytest.raises(Unfit, match="its space is Box"):
        encode(np.float32([1.1, 0, 0]), thorough=True)


def test_spaces_without_a_fixed_size_are_refused():
    with pytest.raises(UsageError, match="x has observations of type Sequence, which have no fixed size; only Box"):
        convert_observations("x", spaces.Sequence(UNIT))


class Script(gymnasium.Env):
    """Gives what it is told to: ``first`` by `reset`, then ``steps`` of (observation, reward, terminated)."""

    observation_space, action_space = UNIT, spaces.Discrete(2)
    first, steps = (np.zeros(3, np.float32), {}), ()

    def reset(self, *, seed=None, options=None):
        return self.first

    def step(self, action):
        self.time = getattr(self, "time", 0) + 1
        observation, reward, terminated = self.steps[self.time - 1]
        if reward == "exit":
            raise SystemExit(3)
        return np.full(3, observation, np.float32), reward, terminated, False, {}


WRONG = {
    "reset alone": ((np.zeros(3, np.float32)), (), r"in its reset \[0. 0. 0.\] .* alone; reset must return"),
    "first beyond its bounds": ((np.full(3, 2.0), {}), (), "in its reset the observation"),
    "reward none": (Script.first, [(0, None, False)], "in its step 1 the reward None; it must be a number"),
    "reward nan": (Script.first, [(0, 1, False), (0, np.nan, False)], "in its step 2 the reward nan; it must"),
    "reward infinite": (Script.first, [(0, -np.inf, False)], "in its step 1 the reward -inf; it must be finite"),
    "nan": (Script.first, [(0, 1, True), (np.nan, 1, False)], r"in its step 2 the observation nan at position \[0\]"),
    "nan at the end": (Script.first, [(np.inf, 1, True)], r"in its step 1 the observation inf at position \[0\]"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_environment_and_step_are_named(kind):
    first, steps, message = WRONG[kind]
    entry_point = type("Told", (Script,), {"first": first, "steps": steps})
    slices = Slices(gymnasium.envs.registration.EnvSpec("Told-v0", entry_point), {})
    with pytest.raises(PuzzleboxError, match=rf"^gym:Told-v0 \(environment 0\) gave {message}"):
        slices.call("reset", [5], np.zeros((1, 2), np.uint32))
        for _ in steps:
            slices.call("step", [5], np.zeros((1, 2), np.int32))


def test_exit_in_a_step_names_file_and_line():
    entry_point = type("Told", (Script,), {"steps": [(0, "exit", False)]})
    slices = Slices(gymnasium.envs.registration.EnvSpec("Told-v0", entry_point), {})
    slices.call("reset", [5], np.zeros((1, 1), np.uint32))
    with pytest.raises(PuzzleboxError, match=r"failed in step: SystemExit: 3 \(.*test_gymnasium_observations.py, line"):
        slices.call("step", [5], np.zeros((1, 1), np.int32))
