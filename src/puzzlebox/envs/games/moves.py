"""Games written as a list of moves: ``3,3,4``."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.errors import UsageError
from puzzlebox.types import Game, Key, Position, State

SHOWN = 24  # legal moves named in an error


def from_moves(game: Game, text: str, key: Key | None = None) -> tuple[State, Position]:
    """The position after moves such as ``"3,3,4"``, separated by commas or spaces.

    Raises UsageError for the first one that is not a move, is illegal, or comes after the end of the game.
    """
    key = jax.random.key(0) if key is None else key
    reset_key, step_key = jax.random.split(key)
    state, position = _reset(game, reset_key)
    for number, move in enumerate(text.replace(",", " ").split(), start=1):
        try:
            action = read_move(game, state, position, move)
        except UsageError as error:
            raise UsageError(f"move {number}: {error}") from None
        state, position = _step(game, state, jnp.int32(action), jax.random.fold_in(step_key, number))
    return state, position


def read_move(game: Game, state: State, position: Position, text: str) -> int:
    """The number of a legal move that a person wrote; raises UsageError, which names the legal moves, for any other."""
    if bool(position.terminated):
        raise UsageError(f"'{text}' comes after the end of the game")
    action = game.parse_move(state, text)
    if not bool(position.legal[action]):
        raise UsageError(f"'{text}' is illegal here; legal: {', '.join(legal_moves(game, state, position))}")
    return action


def legal_moves(game: Game, state: State, position: Position) -> list[str]:
    """The names of the legal moves, at most `SHOWN` of them, then …"""
    actions = np.flatnonzero(np.asarray(position.legal))
    names = [game.move_name(state, int(action)) for action in actions[:SHOWN]]
    return names + ["…"] * (len(actions) > SHOWN)


@eqx.filter_jit
def _reset(game: Game, key: Key) -> tuple[State, Position]:
    return game.reset(key)


@eqx.filter_jit
def _step(game: Game, state: State, action: Any, key: Key) -> tuple[State, Position]:
    return game.step(state, action, key)
