"""Self-play: every game is played by the same searcher on both sides, inside one compiled scan.

It returns the `Trajectory` that `rollout` returns, seen by the player who moved, and beside it what the searches found.
Games that end are begun again; unfinished ones continue in the next call. Every board remembers how its last games
ended, so that `outcome` can pay a position once its game is over, however many calls ago it was played.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from puzzlebox.acting.rollout import nan_mean
from puzzlebox.acting.search import Found
from puzzlebox.types import Array, Game, Key, Metrics, Position, Trajectory


class Games(NamedTuple):
    """Where ``B`` boards stand, and how their last ``M`` games ended (game g stands at g mod M)."""

    state: Any
    position: Position
    length: Array  # int32 [B], moves made in this game
    opening: Array  # int32 [B], so many of its first moves are random
    paid: Array  # float32 [B, 2], what each player has got in this game
    finished: Array  # int32 [B], games finished, which is the number of the running one
    results: Array  # float32 [B, M, 2], what each player got


class Searched(NamedTuple):
    """What belongs to each move of a `Trajectory` beside it, leaves ``[T, B, ...]``."""

    legal: Array  # bool [T, B, U]
    weights: Array  # float32 [T, B, U], the improved policy
    value: Array  # float32 [T, B], the search's, for the player who moved
    player: Array  # int32 [T, B], who moved
    next_player: Array  # int32 [T, B], who moves next; after the end it means nothing
    paid: Array  # float32 [T, B], what the mover had got in this game before the move
    board: Array  # int32 [T, B]
    game: Array  # int32 [T, B], its number on that board


Choose = Callable[[Any, Position, Array, Key], Found]  # (states, positions, moves made [B], key) -> Found


def start(game: Game, num_games: int, key: Key, random_moves: int = 0, remember: int = 1) -> Games:
    """``num_games`` boards at their first positions; every board remembers the ends of ``remember`` games.

    The first moves of a game are random, a number between 0 and ``random_moves`` that each game draws anew.
    """
    state, position, opening = _reset(game, num_games, key, random_moves)
    none = jnp.zeros(num_games, jnp.int32)
    return Games(state, position, none, opening, jnp.zeros((num_games, 2)), none, jnp.zeros((num_games, remember, 2)))


def self_play(
    choose: Choose, game: Game, games: Games, num_steps: int, key: Key, random_moves: int = 0
) -> tuple[Games, Trajectory, Searched, Metrics]:
    """Makes ``num_steps`` moves on every board; ``choose`` searches ``B`` positions at once.

    The trajectory's ``reward`` is the mover's; ``next_observation`` is seen by the player to move then; ``mask`` is
    False for random opening moves, from which nothing is to be learned; ``log_prob`` is the action's under the search's
    ``weights``. Metrics of games are NaN where none ended.
    """

    def step(games: Games, key: Key):
        choose_key, random_key, step_key, reset_key = jax.random.split(key, 4)
        position, board = games.position, jnp.arange(games.length.shape[0])
        found = choose(games.state, position, games.length, choose_key)
        searched = games.length >= games.opening
        random = jax.random.categorical(random_key, jnp.where(position.legal, 0.0, -jnp.inf))
        action = jnp.where(searched, found.action, random).astype(jnp.int32)
        state, after = jax.vmap(game.step)(games.state, action, jax.random.split(step_key, board.size))
        done = after.terminated
        trajectory = Trajectory(
            position.observation,
            action,
            found.log_prob(action),
            after.reward[board, position.player],
            done,
            jnp.zeros_like(done),
            after.observation,
            searched,
        )
        record = Searched(
            position.legal,
            found.weights,
            found.value,
            position.player,
            after.player,
            games.paid[board, position.player],
            board,
            games.finished,
        )
        paid, length = games.paid + after.reward, games.length + 1
        place = board, jnp.where(done, games.finished % games.results.shape[1], games.results.shape[1])
        results = games.results.at[place].set(paid, mode="drop")  # an index past the end writes nothing
        continued = (state, after, length, games.opening, paid)
        fresh_state, fresh_position, opening = _reset(game, board.size, reset_key, random_moves)
        fresh = (fresh_state, fresh_position, jnp.zeros_like(length), opening, jnp.zeros_like(paid))
        chosen = jax.tree.map(lambda new, old: jnp.where(_like(done, old), new, old), fresh, continued)
        ended = jax.tree.map(
            lambda x: jnp.where(done, x, jnp.nan), (length.astype(jnp.float32), paid[:, 0] > 0, paid[:, 0] == 0)
        )
        state, after, length, opening, paid = chosen
        games = Games(state, after, length, opening, paid, games.finished + done, results)
        return games, (trajectory, record, ended)

    games, (trajectory, record, ended) = jax.lax.scan(step, games, jax.random.split(key, num_steps))
    names = ("game_length", "first_player_wins", "draws")
    metrics = dict(zip(names, map(nan_mean, ended), strict=True)) | {"search_value": record.value.mean()}
    return games, trajectory, record, metrics


def outcome(games: Games, board: Array, game: Array, player: Array, paid: Array) -> tuple[Array, Array]:
    """What ``player`` still got in a game of ``board`` after having been ``paid`` so much, and whether it is known.

    All arguments as in `Searched`, any shape. It is known once the game is over, as long as the board remembers it.
    """
    remember = games.results.shape[1]
    age = games.finished[board] - game
    known = (age >= 1) & (age <= remember)
    return jnp.where(known, games.results[board, game % remember, player] - paid, 0.0), known


def _reset(game: Game, num_games: int, key: Key, random_moves: int) -> tuple[Any, Position, Array]:
    reset_key, opening_key = jax.random.split(key)
    state, position = jax.vmap(game.reset)(jax.random.split(reset_key, num_games))
    return state, position, jax.random.randint(opening_key, (num_games,), 0, random_moves + 1)


def _like(done: Array, x: Array) -> Array:
    """``done [B]`` with as many axes as ``x [B, ...]``."""
    return done.reshape(done.shape + (1,) * (x.ndim - done.ndim))
