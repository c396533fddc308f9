"""Many games between two players at once.

All boards run in lockstep: the first player moves on every board, then the second. A game that has ended is replaced by
the next one when it is the first player's turn again, so that searches have a full batch to work on. Every game that is
begun is finished and counted: stopping at a number of finished games would count short games more often than long ones.

Deterministic players would repeat one game for ever. Their games begin with random moves, and opening number i is
played from both sides, so that neither profits from a lucky one. A game that ends within its opening counts as it
ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.play.players import Player
from puzzlebox.types import Game, Key

MOST_BOARDS = 256  # games at once, where memory allows
MEMORY = 2**30  # bytes that the trees of one search may take, about


class Record:
    """How games went for the player who began: outcome (what the game paid) and length (moves of both) of each.

    ``distinct`` holds the different games, as sequences of moves: a small number means that the same game was repeated.
    """

    def __init__(self) -> None:
        self.outcomes: list[float] = []
        self.lengths: list[int] = []
        self.distinct: set[tuple[int, ...]] = set()

    def add(self, outcome: float, moves: list[int]) -> None:
        """Adds one game."""
        self.outcomes.append(outcome)
        self.lengths.append(len(moves))
        self.distinct.add(tuple(moves))

    def counts(self) -> tuple[int, int, int]:
        """Games won, drawn and lost."""
        signs = np.sign(self.outcomes)
        return int((signs > 0).sum()), int((signs == 0).sum()), int((signs < 0).sum())


class Boards:
    """The compiled rules of a game on ``B`` boards."""

    def __init__(self, game: Game):
        self.num_actions = int(game.action_space.n)
        self.game = game
        self.reset = jax.jit(jax.vmap(game.reset))
        self.restart = jax.jit(self._restart)
        self.step = jax.jit(jax.vmap(game.step))

    def _restart(self, where, old, keys):
        """New games on the boards ``where [B]``; the others keep what they have."""
        return jax.tree.map(lambda new, x: jnp.where(_like(where, x), new, x), jax.vmap(self.game.reset)(keys), old)

    def room(self, *players: Player) -> int:
        """How many boards fit, so that the players' search trees stay within `MEMORY`."""
        state, _ = jax.eval_shape(self.game.reset, jax.random.key(0))
        # a node holds a game state and about 24 bytes of statistics per move
        node = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) + 24 * self.num_actions
        most = max(player.simulations + 1 for player in players)
        return int(np.clip(MEMORY // (node * most), 1, MOST_BOARDS))


def play_match(
    boards: Boards,
    first: Player,
    second: Player,
    games: int,
    key: Key,
    *,
    opening_plies: int = 0,
    opening_seed: int = 0,
    note: Callable[[int], None] = lambda finished: None,
) -> Record:
    """Plays ``games`` games in which ``first`` begins; the record is that player's.

    ``note`` receives the number of finished games. The openings depend on ``opening_seed`` alone, not on who begins.
    """
    # set up the boards
    size = min(games, boards.room(first, second))
    openings = [np.random.default_rng([opening_seed, i]) for i in range(games if opening_plies else 0)]
    number, begun = np.arange(size), size  # the game on each board
    states, positions = boards.reset(jax.random.split(jax.random.fold_in(key, 0), size))
    moves: list[list[int]] = [[] for _ in range(size)]
    # live: a game is going on there
    paid, live, ply = np.zeros((size, 2)), np.ones(size, bool), np.zeros(size, int)
    record = Record()
    tick = 0
    while live.any() or begun < games:
        tick += 1
        first_key, second_key, step_key, reset_key = jax.random.split(jax.random.fold_in(key, tick), 4)

        # choose a move on every board: the opening's, else the player's whose turn it is
        legal, mover = np.asarray(positions.legal), np.asarray(positions.player)
        action = legal.argmax(-1).astype(np.int32)
        opening = live & (ply < opening_plies)
        for board in np.flatnonzero(opening):
            action[board] = openings[number[board]].choice(np.flatnonzero(legal[board]))
        for player, turn, turn_key in ((first, 0, first_key), (second, 1, second_key)):
            where = live & ~opening & (mover == turn)
            if where.any():
                action = np.where(where, player.choose(states, positions, turn_key).action, action)

        # play it
        states, positions = boards.step(states, action, jax.random.split(step_key, size))
        paid += np.where(live[:, None], positions.reward, 0)
        ply += live
        for board in np.flatnonzero(live):
            moves[board].append(int(action[board]))

        # record the games that have ended
        ended = live & np.asarray(positions.terminated)
        for board in np.flatnonzero(ended):
            record.add(float(paid[board, 0]), moves[board])
        live &= ~ended
        if ended.any():
            note(len(record.outcomes))

        # put new games on free boards; on even ticks only, after which it is the first player's turn everywhere
        waiting = np.flatnonzero(~live)[: games - begun if tick % 2 == 0 else 0]
        if waiting.size:
            number[waiting] = begun + np.arange(len(waiting))
            begun += len(waiting)
            fresh = np.isin(np.arange(size), waiting)
            states, positions = boards.restart(fresh, (states, positions), jax.random.split(reset_key, size))
            paid[waiting], ply[waiting], live = 0.0, 0, live | fresh
            for board in waiting:
                moves[board] = []
    return record


def _like(where: Any, x: Any) -> Any:
    """``where [B]`` with as many axes as ``x [B, ...]``."""
    return where.reshape(where.shape + (1,) * (x.ndim - where.ndim))
