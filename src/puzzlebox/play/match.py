"""Many games between two players at once.

All games of one side run in lockstep: player A moves in every game, then B. A game that has ended is replaced by the
next one when it is again the first player's turn, so that searches always have a full batch to work on. Every game
that is begun is finished and counted, so that short games are not counted more often than long ones.

Deterministic players would repeat one game: their games begin with random moves, and opening number i is played from
both sides. A game that ends within its opening counts as it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.play.players import Player
from puzzlebox.types import Game, Key

MOST_BOARDS = 256
MEMORY = 2**30  # bytes that the trees of one search may take, about


class Record:
    """How games went for the player who began: outcome and length of each, and its moves.

    Games that were equal move for move are one in ``distinct``.
    """

    def __init__(self) -> None:
        self.outcomes: list[float] = []
        self.lengths: list[int] = []
        self.distinct: set[tuple[int, ...]] = set()

    def add(self, outcome: float, moves: list[int]) -> None:
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
        return jax.tree.map(lambda new, x: jnp.where(_like(where, x), new, x), jax.vmap(self.game.reset)(keys), old)

    def room(self, *players: Player) -> int:
        """How many boards fit, so that the players' search trees stay within `MEMORY`."""
        state, _ = jax.eval_shape(self.game.reset, jax.random.key(0))
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
    """``games`` games in which ``first`` begins; the record is that player's. ``note`` hears how many are finished.

    Equal ``opening_seed``, equal openings, whoever begins.
    """
    size = min(games, boards.room(first, second))
    openings = [np.random.default_rng([opening_seed, i]) for i in range(games if opening_plies else 0)]
    number, begun = np.arange(size), size  # the game on each board
    states, positions = boards.reset(jax.random.split(jax.random.fold_in(key, 0), size))
    moves: list[list[int]] = [[] for _ in range(size)]
    paid, live, ply = np.zeros((size, 2)), np.ones(size, bool), np.zeros(size, int)
    record = Record()
    tick = 0
    while live.any() or begun < games:
        tick += 1
        first_key, second_key, step_key, reset_key = jax.random.split(jax.random.fold_in(key, tick), 4)
        legal, mover = np.asarray(positions.legal), np.asarray(positions.player)
        action = legal.argmax(-1).astype(np.int32)
        opening = live & (ply < opening_plies)
        for board in np.flatnonzero(opening):
            action[board] = openings[number[board]].choice(np.flatnonzero(legal[board]))
        for player, turn, turn_key in ((first, 0, first_key), (second, 1, second_key)):
            where = live & ~opening & (mover == turn)
            if where.any():
                action = np.where(where, player.choose(states, positions, turn_key).action, action)
        states, positions = boards.step(states, action, jax.random.split(step_key, size))
        paid += np.where(live[:, None], positions.reward, 0)
        ply += live
        for board in np.flatnonzero(live):
            moves[board].append(int(action[board]))
        ended = live & np.asarray(positions.terminated)
        for board in np.flatnonzero(ended):
            record.add(float(paid[board, 0]), moves[board])
        live &= ~ended
        if ended.any():
            note(len(record.outcomes))
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
