"""Gymnasium's observations as networks and tables see them, each held against its space before it is used.

What is cheap is asked of every observation: shape, kind of number, Discrete and integer values in range. Whether reals
lie within their bounds, and bytes within narrower ones than 0 to 255, is asked of an environment's first one only.
"""

from __future__ import annotations

import operator
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from puzzlebox.errors import UsageError

MAX_FLAT = 100_000  # a tuple of Discrete spaces with at most so many combinations becomes one Discrete space
INT32 = np.iinfo(np.int32)


class Unfit(ValueError):
    """What an environment gave is not what its spaces say; the text goes on after "gave in its step 3 ..."."""


class Encode(Protocol):
    """Brings an observation into the converted space; raises `Unfit`. ``thorough``: asks also what takes longer."""

    def __call__(self, value: Any, thorough: bool = False) -> Any: ...


def convert_observations(name: str, space: spaces.Space) -> tuple[spaces.Space, Encode]:
    """The space as networks and tables see it, and the function that brings an observation into it.

    Reals become float32, bytes stay uint8, other whole numbers become int32 (a value that does not fit is refused when
    it comes), Discrete starts at 0; a tuple of Discrete spaces (Blackjack) becomes one Discrete index, or MultiDiscrete
    if that would be too large. Anything else that Gymnasium can flatten, Dict above all, is flattened. Raises
    UsageError.
    """
    if isinstance(space, spaces.Box):
        dtype = np.uint8 if space.dtype == np.uint8 else np.int32 if space.low.dtype.kind in "iu" else np.float32
        low, high = (_within(bound, dtype) for bound in (space.low, space.high))
        return spaces.Box(low, high, dtype=dtype), Numbers(space, dtype, low, high)
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(int(space.n)), Index(space, int(space.n), int(space.start))
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        several = Numbers(space, np.int32, space.start, space.start + space.nvec - 1, space.start)
        return spaces.MultiDiscrete(space.nvec, dtype=np.int32), several
    if isinstance(space, spaces.MultiBinary) and len(space.shape) == 1:
        return spaces.MultiDiscrete(np.full(space.shape, 2), dtype=np.int32), Numbers(space, np.int32, 0, 1)
    if isinstance(space, spaces.Tuple) and all(isinstance(part, spaces.Discrete) for part in space.spaces):
        digits = Digits(space)
        if np.prod(digits.sizes) > MAX_FLAT:
            return spaces.MultiDiscrete(digits.sizes, dtype=np.int32), digits
        return spaces.Discrete(int(np.prod(digits.sizes))), digits.index
    if space.is_np_flattenable:
        converted, encode = convert_observations(name, spaces.utils.flatten_space(space))
        return converted, Flattened(space, encode)
    raise UsageError(
        f"{name} has observations of type {type(space).__name__}, which have no fixed size; only Box, Discrete, "
        "MultiDiscrete, MultiBinary, and Dict and Tuple of these are supported: make it one with a wrapper"
    )


def first_of(result: Any) -> Any:
    """The observation of ``(observation, info)``, which `reset` returned; raises `Unfit`."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
        return result[0]
    raise Unfit(f"{_short(result)} alone; reset must return (observation, info), as Gymnasium has it since 0.26")


class Numbers:
    """Arrays of one shape: Box, MultiDiscrete, MultiBinary. ``start`` is subtracted."""

    def __init__(self, space: spaces.Space, dtype: Any, low: Any, high: Any, start: Any = None) -> None:
        self.space, self.shape, self.dtype, self.start = space, tuple(space.shape or ()), np.dtype(dtype), start
        self.low, self.high = np.asarray(low), np.asarray(high)
        # These kinds of numbers need no look at the values: they all fit.
        fitting = {"f": (np.float32, np.float64), "u": (np.uint8,), "i": ()}[self.dtype.kind]
        self.fitting = tuple(map(np.dtype, fitting))

    def __call__(self, value: Any, thorough: bool = False) -> np.ndarray:
        if thorough or type(value) is not np.ndarray or value.shape != self.shape or value.dtype not in self.fitting:
            value = self._look(value, thorough)
        return value if self.start is None else value - self.start

    def _look(self, value: Any, thorough: bool) -> np.ndarray:
        """``value`` as an array whose numbers all fit; raises `Unfit`."""
        try:
            array = np.asarray(value)
        except ValueError:  # rows of different lengths
            raise _unfit(value, self.space) from None
        if array.shape != self.shape or array.dtype.kind not in "fiub":
            raise _unfit(value, self.space)
        if self.dtype.kind == "f":
            near = 1e-5 * np.maximum(1, np.abs(array))
            if thorough and ((array < self.low - near) | (array > self.high + near)).any():
                raise _unfit(value, self.space)
            return array
        if array.dtype.kind == "f" and not (array == np.floor(array)).all():
            raise _unfit(value, self.space, "whole numbers")
        outside = (array < self.low) | (array > self.high)
        if outside.any():
            strange = array[outside]
            beyond = self.dtype == np.int32 and bool(((strange > INT32.max) | (strange < INT32.min)).any())
            hint = "; whole numbers beyond 32 bits cannot be kept, so give them as a Box of float32" if beyond else ""
            raise Unfit(f"{_unfit(value, self.space)}{hint}")
        return array


class Index:
    """One number of a Discrete space, which will start at 0."""

    def __init__(self, space: spaces.Space, count: int, start: int) -> None:
        self.space, self.count, self.start = space, count, start

    def __call__(self, value: Any, thorough: bool = False) -> int:
        try:
            index = operator.index(value) - self.start
        except TypeError:
            raise _unfit(value, self.space) from None
        if not 0 <= index < self.count:
            raise _unfit(value, self.space)
        return index


class Digits:
    """A tuple of Discrete numbers, each from 0."""

    def __init__(self, space: spaces.Tuple) -> None:
        self.space = space
        self.sizes = [int(part.n) for part in space.spaces]  # type: ignore[attr-defined]
        self.parts = [Index(space, int(part.n), int(part.start)) for part in space.spaces]  # type: ignore[attr-defined]

    def __call__(self, value: Any, thorough: bool = False) -> list[int]:
        if not isinstance(value, tuple | list | np.ndarray) or len(value) != len(self.parts):
            raise _unfit(value, self.space)
        return [part(digit) for part, digit in zip(self.parts, value, strict=True)]

    def index(self, value: Any, thorough: bool = False) -> int:
        """All as one number: mixed-radix digits, the last one counting single."""
        index = 0
        for size, digit in zip(self.sizes, self(value), strict=True):
            index = index * size + digit
        return index


class Flattened:
    """Dict and other spaces of several parts, laid out in one vector; a Discrete part becomes one-hot."""

    def __init__(self, space: spaces.Space, encode: Encode) -> None:
        self.space, self.encode = space, encode

    def __call__(self, value: Any, thorough: bool = False) -> Any:
        if thorough and not self.space.contains(value):
            raise _unfit(value, self.space)
        try:
            flat = spaces.utils.flatten(self.space, value)
        except Exception:  # whatever a wrong value meets in there
            raise _unfit(value, self.space) from None
        return self.encode(flat, thorough)


def _within(bound: np.ndarray, dtype: Any) -> np.ndarray:
    """A bound as ``dtype``; beyond int32 it is the largest there is."""
    return np.clip(bound, INT32.min, INT32.max).astype(dtype) if dtype is np.int32 else bound.astype(dtype)


def _unfit(value: Any, space: spaces.Space, wanted: str = "") -> Unfit:
    return Unfit(
        f"the observation {_short(value)}; its space is {wanted and wanted + ' in '}{' '.join(str(space).split())}"
    )


def _short(value: Any) -> str:
    """What came, in one line: arrays with their type and shape."""
    text = " ".join(str(value).split())
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return (
        f"{text} ({value.dtype}, shape {value.shape})"
        if isinstance(value, np.ndarray)
        else f"{text} ({type(value).__name__})"
    )
