"""A replay of pictures that stores every frame once: stacks of frames are put together again when they are drawn.

Of an observation ``[H, W, frames · C]``, whose frames are stacked with the newest last, only the newest is kept. A
million frames of 84 × 84 are 7.06 GB, where stacks with their successors would be 56. Source: Mnih et al. 2015.

Rows are steps of ``B`` worlds, a ring in time, and a place is row · B + world, as in `transitions`. An episode's
first stack has no frames before its own: a world fills it up with zeros or with copies of its first frame, or, where
only a life was lost, shows what went before. The replay notes which, so that what is drawn is what was seen.

Departure: the observation after a step that a clock cut is no row, so such a step is not learned from (its weight is
0), and n-step returns that would contain it are cut before it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.data import replay
from puzzlebox.data.replay import Replay
from puzzlebox.data.transitions import Sample
from puzzlebox.ops.returns import window_returns
from puzzlebox.types import Array, Key, Trajectory


class Frames(NamedTuple):
    """One step of the worlds, or ``[rows, B, ...]``; ``frame`` is the newest one of the observation acted on.

    ``first``: it begins an episode. ``filled``: its stack held nothing older, but zeros (`BLANK`) or copies of it
    (`COPIES`); 0 otherwise.
    """

    frame: Array
    action: Array
    reward: Array
    terminated: Array
    first: Array
    filled: Array


BLANK, COPIES = 1, 2


def margins(stack: int, num_steps: int) -> tuple[int, int]:
    """How many rows at the oldest and at the newest end cannot be drawn."""
    return stack - 1, num_steps


def empty(observation: Array, action: Array, rows: int, stack: int) -> Replay:
    """An empty replay, for ``observation [B, H, W, stack · C]`` and ``action [B, ...]`` like these."""
    reward, flag, filled = (jnp.zeros(action.shape[0], dtype) for dtype in (jnp.float32, jnp.bool_, jnp.uint8))
    return replay.empty(Frames(_newest(observation, stack), action, reward, flag, flag, filled), rows)


def add(memory: Replay, trajectory: Trajectory, first: Array, stack: int) -> Replay:
    """Adds ``[T, B, ...]`` steps; T divides the rows. ``first [T, B]`` is True where an episode begins."""
    frame = _newest(trajectory.observation, stack)
    older = trajectory.observation[..., : -frame.shape[-1]].reshape(*frame.shape[:-1], stack - 1, frame.shape[-1])

    # what an episode's first stack has before its own frame
    axes = (-4, -3, -2, -1)
    blank, copies = (older == 0).all(axes), (older == frame[..., None, :]).all(axes)
    filled = jnp.where(first & blank, BLANK, jnp.where(first & copies, COPIES, 0)).astype(jnp.uint8)
    steps = Frames(frame, trajectory.action, trajectory.reward, trajectory.terminated, first, filled)
    return replay.add(memory, steps)


def draw_places(memory: Replay, key: Key, shape: tuple[int, ...], margins: tuple[int, int]) -> Array:
    """Places drawn uniformly with replacement, int32 ``shape``, outside the ``margins`` (oldest, newest rows).

    As long as the replay is no longer than its margins, the oldest row that may be drawn is drawn all the same; the
    caller waits until there is more.
    """
    rows, worlds = memory.storage.reward.shape
    oldest = jnp.maximum(memory.added - rows, 0) + margins[0]
    newest = jnp.maximum(memory.added - margins[1], oldest + 1)
    place = jax.random.randint(key, shape, oldest * worlds, newest * worlds)
    return place // worlds % rows * worlds + place % worlds


def read(memory: Replay, place: Array, num_steps: int, discount: ArrayLike, stack: int) -> Sample:
    """The steps at ``place [N]``, with ``num_steps`` rewards each, or as many as the episode has.

    The observation after the n steps is that of a later row. Behind a truncation there is none: the next row begins
    another episode. There the return is cut one step earlier, and where nothing is left, ``weight`` is 0.
    """
    steps: Frames = memory.storage
    rows, worlds = steps.reward.shape
    row, world = place // worlds, place % worlds
    window = (row + jnp.arange(num_steps)[:, None]) % rows
    ended = steps.first[(window + 1) % rows, world]  # also where a resumed run's worlds began anew
    terminated = steps.terminated[window, world]
    usable = terminated | ~ended  # what followed any other end is no row
    reward, power, length = window_returns(steps.reward[window, world], ended, usable, discount)
    last = jnp.maximum(length - 1, 0)
    return Sample(
        stacked(steps, row, world, stack),
        steps.action[row, world],
        reward,
        jnp.take_along_axis(terminated, last[None], axis=0)[0],
        stacked(steps, (row + length) % rows, world, stack),
        power,
        (length > 0).astype(jnp.float32),
    )


def stacked(steps: Frames, row: Array, world: Array, stack: int) -> Array:
    """The observations of these rows and worlds ``[N]``: ``[N, H, W, stack · C]``."""
    rows = steps.reward.shape[0]
    lag = jnp.arange(stack)[:, None]  # 0 is the newest frame

    # back to where the stack was filled up, if that is within it
    filled = steps.filled[(row - lag) % rows, world] > 0
    inside = jnp.cumsum(filled, axis=0) - filled == 0  # [stack, N]: this lag is a frame that was seen
    beginning = inside.sum(axis=0) - 1  # the lag of the oldest frame that was seen

    # what lies before it is zeros or copies of it
    frames = steps.frame[(row - jnp.minimum(lag, beginning)) % rows, world]
    blank = steps.filled[(row - beginning) % rows, world] == BLANK
    frames = jnp.where((inside | ~blank)[..., None, None, None], frames, 0)

    # [stack, N, H, W, C], the newest first -> [N, H, W, stack · C], the newest last
    frames = jnp.moveaxis(frames[::-1], 0, -2)
    return frames.reshape(*frames.shape[:-2], -1)


def _newest(observation: Array, stack: int) -> Array:
    channels = observation.shape[-1] // stack
    return observation[..., observation.shape[-1] - channels :]
