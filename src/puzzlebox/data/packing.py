"""Token ids as rows of equal length: padded, or packed, so that several texts share a row and none sees another.

Also which rows make a batch, and how lengths are rounded up. Rounding matters: every new shape compiles a new program.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple

import jax
import numpy as np

from puzzlebox.errors import UsageError
from puzzlebox.types import Key


class EncodedText(NamedTuple):
    """One text as token ids; ``learned`` is True for those that are trained on (a completion, not its prompt)."""

    tokens: list[int]
    learned: list[bool]


class Rows(NamedTuple):
    """Leaves ``[R, T]``: ``action`` is the token after ``observation``, ``mask`` True where it is trained on.

    ``segments`` numbers the texts of a row from 1 and is 0 in padding; ``positions`` starts at 0 in each.
    """

    observation: Any
    action: Any
    mask: Any
    positions: Any
    segments: Any


def pack(texts: Sequence[EncodedText], length: int, pad_id: int, share: bool = True) -> Rows:
    """Rows of ``length`` tokens; with ``share`` each text goes into the first row with room, longest texts first.

    A text of n tokens takes n − 1 places, since its last token is only ever predicted. Raises UsageError for a text
    longer than ``length`` + 1, and for one with nothing to learn.
    """
    # Choose a row for each text.
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i].tokens) if share else 0)
    rows: list[list[EncodedText]] = []
    with_room: dict[int, list[int]] = defaultdict(list)  # room left -> heap of the rows that have it
    for i in order:
        needed = len(texts[i].tokens) - 1
        if needed > length:
            raise UsageError(
                f"text {i + 1} has {needed + 1} tokens and a row takes {length + 1}; raise --length or shorten the text"
            )
        if not any(texts[i].learned[1:]):
            raise UsageError(f"text {i + 1} has nothing to learn: its completion is empty")
        enough = [room for room, heap in with_room.items() if heap and room >= needed] if share else []
        if enough:
            room = min(enough, key=lambda room: with_room[room][0])
            place = heappop(with_room[room])
        else:
            room, place = length, len(rows)
            rows.append([])
        rows[place].append(texts[i])
        if room > needed:
            heappush(with_room[room - needed], place)
    # Write the texts into their rows, one behind the other.
    packed = Rows(*(np.zeros((len(rows), length), kind) for kind in (np.int32, np.int32, bool, np.int32, np.int32)))
    packed.observation[:], packed.action[:] = pad_id, pad_id
    for r, row in enumerate(rows):
        at = 0
        for number, text in enumerate(row, 1):
            end = at + len(text.tokens) - 1
            packed.observation[r, at:end], packed.action[r, at:end] = text.tokens[:-1], text.tokens[1:]
            packed.mask[r, at:end] = text.learned[1:]
            packed.positions[r, at:end] = np.arange(end - at)
            packed.segments[r, at:end] = number
            at = end
    return packed


def split_text(text: EncodedText, length: int) -> list[EncodedText]:
    """The text in parts that fit into rows of ``length`` tokens.

    A part begins with the last token of the part before it, so every token but the text's first is predicted once.
    """
    parts = [slice(i, i + length + 1) for i in range(0, len(text.tokens) - 1, length)]
    return [EncodedText(text.tokens[part], text.learned[part]) for part in parts]


def take(rows: Rows, chosen: np.ndarray) -> Rows:
    """The rows with the numbers ``chosen [N]``."""
    return jax.tree.map(lambda x: x[chosen], rows)


def batch_indices(count: int, batch: int, iteration: int, seed: Sequence[int]) -> np.ndarray:
    """Which of ``count`` items make up batch number ``iteration``, int ``[batch]``; every epoch has a new order.

    A batch may span two epochs. The result depends on the arguments alone, so a resumed run goes on where it stopped.
    """
    places = np.arange(iteration * batch, (iteration + 1) * batch)
    passes = np.unique(places // count)
    orders = {p: np.random.default_rng([*seed, int(p)]).permutation(count) for p in passes}
    return np.array([orders[place // count][place % count] for place in places])


def host_seed(key: Key) -> tuple[int, ...]:
    """A seed for NumPy from a JAX key, for choices made on the host."""
    return tuple(int(word) for word in np.asarray(jax.random.key_data(key)).ravel())


def pad_rows(rows: Sequence[Sequence[int]], pad_id: int, length: int, count: int = 0) -> np.ndarray:
    """Rows of token ids as one array, padded on the right: int32 ``[max(len(rows), count), length]``."""
    padded = np.full((max(len(rows), count), length), pad_id, np.int32)
    for row, ids in zip(padded, rows, strict=False):
        row[: len(ids)] = ids
    return padded


def bucket(length: int) -> int:
    """``length`` rounded up to 8, 16, 24, 32, 48, 64, 96, 128, …: few sizes, at most half of one wasted."""
    size = 8
    while size < length:
        size += max(8, 1 << (size.bit_length() - 2))
    return size
