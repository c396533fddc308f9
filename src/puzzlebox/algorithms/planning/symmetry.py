"""Data augmentation for boards: every position may be rotated or mirrored wherever the rules allow it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from puzzlebox.types import Array, Game, Key


def random_symmetry(game: Game, key: Key, observation: Array, *of_moves: Array) -> tuple[Array, ...]:
    """``N`` positions, each transformed by a random symmetry of the board, and ``of_moves`` along with them.

    ``observation [..., N, *shape]``, where ``...`` are several positions of one game, which get the same symmetry;
    ``of_moves``: arrays ``[..., N, U]`` indexed by moves, such as probabilities.
    """
    table, shape = game.symmetries(), game.observation_space.shape
    flat = observation.reshape(*observation.shape[: observation.ndim - len(shape)], -1)
    chosen = jax.random.randint(key, flat.shape[-2:-1], 0, len(table.action))
    squares, moves = jnp.asarray(table.observation)[chosen], jnp.asarray(table.action)[chosen]

    def pick(x: Array, places: Array) -> Array:
        return jnp.take_along_axis(x, places.reshape((1,) * (x.ndim - 2) + places.shape), axis=-1)

    return pick(flat, squares).reshape(observation.shape), *(pick(x, moves) for x in of_moves)
