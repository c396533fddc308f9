"""Boards turned at random: one game is as good as all the games that are the same but for the names of squares."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from puzzlebox.types import Array, Game, Key


def turn(game: Game, key: Key, observation: Array, *of_moves: Array) -> tuple[Array, ...]:
    """``N`` positions, each turned by a symmetry of the board drawn at random, with what belongs to their moves.

    ``observation [..., N, *shape]``, where ``...`` are several positions of one game, which are turned alike;
    ``of_moves``: arrays ``[..., N, U]``, such as probabilities.
    """
    table, shape = game.symmetries(), game.observation_space.shape
    flat = observation.reshape(*observation.shape[: observation.ndim - len(shape)], -1)
    chosen = jax.random.randint(key, flat.shape[-2:-1], 0, len(table.action))
    squares, moves = jnp.asarray(table.observation)[chosen], jnp.asarray(table.action)[chosen]

    def pick(x: Array, places: Array) -> Array:
        return jnp.take_along_axis(x, places.reshape((1,) * (x.ndim - 2) + places.shape), axis=-1)

    return pick(flat, squares).reshape(observation.shape), *(pick(x, moves) for x in of_moves)
