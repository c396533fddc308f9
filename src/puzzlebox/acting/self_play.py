"""Self-play: one searcher plays both sides of every game, inside one compiled scan.

It returns a `Trajectory` as `rollout` does, from the view of the player who moved, and beside it what the searches
found. Games that end are restarted; unfinished ones continue in the next call. Who won is known only at the end of a
game, perhaps several calls after a position was played. So every board remembers the results of its last games, and
`outcome` looks them up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from puzzlebox.acting.rollout import nan_mean
from puzzlebox.acting.search import SearchResult
from puzzlebox.types import Array, Game, Key, Metrics, Position, Trajectory


class Games(NamedTuple):
    """``B`` boards in the middle of their games, and the results of their last ``M`` (game g at index g mod M)."""

    state: Any
    position: Position
    length: Array  # int32 [B], moves made in this game
    opening: Array  # int32 [B], so many of its first moves are random
    paid: Array  # float32 [B, 2], the rewards of each player so far in this game
    finished: Array  # int32 [B], games finished, which is the number of the running one
    results: Array  # float32 [B, M, 2], the sum of each player's rewards


class SearchRecord(NamedTuple):
    """What the search found at each move of a `Trajectory`, and in which game; leaves ``[T, B, ...]``."""

    legal: Array  # bool [T, B, U]
    weights: Array  # float32 [T, B, U], the improved policy
    value: Array  # float32 [T, B], the search's, for the player who moved
    player: Array  # int32 [T, B], who moved
    next_player: Array  # int32 [T, B], who moves next; after the end it means nothing
    paid: Array  # float32 [T, B], the mover's rewards in this game before the move
    board: Array  # int32 [T, B]
    game: Array  # int32 [T, B], its number on that board


Choose = Callable[[Any, Position, Array, Key], SearchResult]  # (states, positions, moves made [B], key) -> SearchResult


def start(game: Game, num_games: int, key: Key, random_moves: int = 0, remember: int = 1) -> Games:
    """``num_games`` boards at their first positions; every board remembers the results of ``remember`` games.

    A game opens with random moves, so that games differ: between 0 and ``random_moves`` of them, drawn for each game.
    """
    state, position, opening = _reset(game, num_games, key, random_moves)
    none = jnp.zeros(num_games, jnp.int32)
    return Games(state, position, none, opening, jnp.zeros((num_games, 2)), none, jnp.zeros((num_games, remember, 2)))


def self_play(
    choose: Choose, game: Game, games: Games, num_steps: int, key: Key, random_moves: int = 0
) -> tuple[Games, Trajectory, SearchRecord, Metrics]:
    """Makes ``num_steps`` moves on every board; ``choose`` searches ``B`` positions at once.

    The trajectory's ``reward`` is the mover's; ``next_observation`` is seen by the player to move then; ``mask`` is
    False for random opening moves, from which nothing is to be learned; ``log_prob`` is the action's under the search's
    ``weights``. Metrics of games are NaN where none ended.
    """

    def step(games: Games, key: Key):
        # choose: the search's move, or a random one in the opening
        choose_key, random_key, step_key, reset_key = jax.random.split(key, 4)
        position, board = games.position, jnp.arange(games.length.shape[0])
        found = choose(games.state, position, games.length, choose_key)
        searched = games.length >= games.opening
        random = jax.random.categorical(random_key, jnp.where(position.legal, 0.0, -jnp.inf))
        action = jnp.where(searched, found.action, random).astype(jnp.int32)

        # play it, and record it
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
        record = SearchRecord(
            position.legal,
            found.weights,
            found.value,
            position.player,
            after.player,
            games.paid[board, position.player],
            board,
            games.finished,
        )

        # note the results of games that ended, and restart those
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
    """The sum of the rewards that ``player`` got in a game after having been ``paid`` so much, and whether it is known.

    All arguments as in `SearchRecord`, any shape; float32 and bool of that shape. It is known once the game is over,
    as long as the board remembers it.
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
