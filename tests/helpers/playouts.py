"""Random games, for tests of rules."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def random_games(game: Any, games: int, moves: int, seed: int = 0) -> tuple[Any, Any, np.ndarray]:
    """States and positions, leaves [moves + 1, games, ...], and the moves [moves, games] that led from each on.

    One compiled program; games go on after their end.
    """

    def play(key):
        reset_key, key = jax.random.split(key)
        start = jax.vmap(game.reset)(jax.random.split(reset_key, games))

        def move(before, key):
            state, position = before
            action_key, step_key = jax.random.split(key)
            logits = jnp.where(position.legal, 0.0, -jnp.inf)
            action = jax.random.categorical(action_key, logits).astype(jnp.int32)
            after = jax.vmap(game.step)(state, action, jax.random.split(step_key, games))
            return after, (after, action)

        _, (later, actions) = jax.lax.scan(move, start, jax.random.split(key, moves))
        return *jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), start, later), actions

    return jax.tree.map(np.asarray, jax.jit(play)(jax.random.key(seed)))
