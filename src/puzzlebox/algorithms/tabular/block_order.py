"""The order in which values spread through an MDP: states sorted by distance from the rewards, and cut into blocks.

A state is a source of value if one backup of a constant value gains more there than in the median state: beside a goal,
a hole that ends a costly walk, a well-paid move. Distances count most likely moves, backwards from all sources.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order

from puzzlebox.types import MDP


class BlockOrder:
    """Which state stands where: C blocks of B slots.

    ``state`` int32 [C, B]: the state of each slot (a block's last state repeats to fill it); ``slot`` int32 [S]: the
    slot of each state; ``first_value``: the constant value that sweeps begin with.
    """

    def __init__(self, state: np.ndarray, slot: np.ndarray, first_value: float, next_state: np.ndarray):
        self.state, self.slot, self.first_value, self._next_state = state, slot, first_value, next_state

    def reads(self) -> np.ndarray:
        """The blocks whose values each block needs, itself included; int32 [C, D], padded with the block itself."""
        block = (self.slot // self.state.shape[1]).astype(np.int32)
        reads = np.eye(len(self.state), dtype=bool)
        for action in range(self._next_state.shape[1]):
            for outcome in range(self._next_state.shape[2]):
                reads[block, block[self._next_state[:, action, outcome]]] = True
        reader, read = np.nonzero(reads)
        counts = reads.sum(1)
        listed = np.repeat(np.arange(len(reads), dtype=np.int32)[:, None], counts.max(), axis=1)
        listed[reader, np.arange(len(read)) - np.repeat(_starts(counts), counts)] = read
        return listed


def block_order(mdp: MDP, discount: float) -> BlockOrder:
    """Sorts the states and cuts them into blocks of one distance each (of several where the distances hold few states).

    Blocks have one size, so those of a distance are padded; distances are merged until at most half of all is padding.
    """
    # Sources: states where one backup of the constant value gains more than in the median state.
    next_state, probability = np.asarray(mdp.next_state), np.asarray(mdp.probability)
    num_states = len(next_state)
    reward = np.einsum("sak,sak->sa", probability, np.asarray(mdp.reward))
    middle = float(np.median(reward.max(-1)))
    first_value = middle / (1 - discount) if discount < 1 else 0.0
    following, ends = _likely_moves(mdp)
    gain = (reward + np.where(ends, 0.0, discount * first_value)).max(-1) - first_value
    order, level = _by_distance(following, gain > np.median(gain) + 1e-9 * (1 + abs(first_value)))

    # Merge distances, two by two, until blocks of one size waste at most half of their slots.
    size = _block_size(num_states, int(level[-1]) + 1)
    while True:
        counts = np.bincount(level)
        blocks = -(-counts // size)
        if blocks.sum() * size <= 2 * num_states + size:
            break
        level //= 2

    # Give every state its slot; a block's last state fills the rest of it.
    first_slot, first_place = _starts(blocks * size), _starts(counts)
    slot_in_order = (first_slot - first_place)[level] + np.arange(num_states)
    state = np.full(int(blocks.sum()) * size, -1, np.int32)
    state[slot_in_order] = order
    filled = np.maximum.accumulate(np.where(state >= 0, np.arange(len(state)), 0))
    slot = np.empty(num_states, np.int32)
    slot[order] = slot_in_order
    return BlockOrder(state[filled].reshape(-1, size), slot, first_value, next_state)


def _likely_moves(mdp: MDP) -> tuple[np.ndarray, np.ndarray]:
    """The most likely next state of each action [S, U] (the state itself if that ends the episode), and if it ends."""
    next_state, terminated = np.asarray(mdp.next_state), np.asarray(mdp.terminated)
    num_states, num_actions, width = next_state.shape
    likely = np.asarray(mdp.probability).argmax(-1)
    index = np.arange(0, next_state.size, width).reshape(num_states, num_actions) + likely
    ends = terminated.ravel()[index]
    return np.where(ends, np.arange(num_states, dtype=np.int32)[:, None], next_state.ravel()[index]), ends


def _by_distance(following: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All states, nearest to a source first, and their distances in that order; unreachable ones come last."""
    # The graph of most likely moves, backwards.
    num_states, num_actions = following.shape
    bounds = np.arange(0, num_states * num_actions + 1, num_actions, dtype=np.int32)
    moves = sparse.csr_array(
        (np.ones(following.size, np.int8), following.astype(np.int32).ravel(), bounds), shape=(num_states, num_states)
    )
    backward = moves.tocsc()  # its columns are the rows of the transposed matrix
    sources = np.flatnonzero(source) if source.any() else np.zeros(1, np.int64)
    # Breadth first from one more node, from which every source is one move away.
    indices = np.concatenate([backward.indices, sources.astype(np.int32)])
    bounds = np.append(backward.indptr, len(indices)).astype(np.int32)
    graph = sparse.csr_array((np.ones(len(indices), np.int8), indices, bounds), shape=(num_states + 1, num_states + 1))
    order, parent = breadth_first_order(graph, num_states)

    # Distances, which scipy does not return.
    order, place = order[1:], np.empty(num_states + 1, np.int64)
    place[num_states] = -1
    place[order] = np.arange(len(order))
    parent_place = place[parent[order]]
    level, start, distance = np.empty(num_states, np.int64), 0, 0
    while start < len(order):
        # Breadth first keeps parents in order, so a level ends where the first parent inside it appears.
        end = max(int(np.searchsorted(parent_place, start)), start + 1)
        level[start:end] = distance
        start, distance = end, distance + 1
    level[len(order) :] = distance
    unreached = np.ones(num_states, bool)
    unreached[order] = False
    return np.concatenate([order, np.flatnonzero(unreached)]).astype(np.int32), level


def _block_size(num_states: int, levels: int) -> int:
    """A power of two near half the mean size of a level, between 64 and 1024."""
    return int(2 ** np.clip(np.floor(np.log2(max(num_states / levels, 1))), 6, 10))


def _starts(counts: np.ndarray) -> np.ndarray:
    """Where each of several consecutive stretches of these lengths begins: 0, c_0, c_0 + c_1, …"""
    return np.concatenate([[0], np.cumsum(counts)[:-1]])
