"""Tic-tac-toe: three in a row on a 3×3 board.

The cells, which are the moves, are numbered row by row:

    0 1 2
    3 4 5
    6 7 8
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import gymnasium
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.games import symmetry
from puzzlebox.envs.games.stones import FIRST, LETTERS, SECOND, check_winner, read_board
from puzzlebox.errors import UsageError
from puzzlebox.types import Array, ArrayLike, Key, Position, Symmetries

SHAPE = (3, 3, 2)
OBSERVATION_SPACE = gymnasium.spaces.Box(0, 1, SHAPE, np.int8)
ACTION_SPACE = gymnasium.spaces.Discrete(9)


class TicTacToeState(NamedTuple):
    board: Array  # int8 [3, 3]: 1 a stone of the first player, -1 of the second
    terminated: Array  # bool []


class TicTacToe(eqx.Module):
    """Observation: own and other stones, int8 [3, 3, 2]. Reward: 1 to the winner, −1 to the loser, 0 for a draw."""

    num_players = 2

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return OBSERVATION_SPACE

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return ACTION_SPACE

    def reset(self, key: Key) -> tuple[TicTacToeState, Position]:
        state = TicTacToeState(jnp.zeros((3, 3), jnp.int8), jnp.zeros((), bool))
        return state, self.position(state, jnp.zeros(2))

    def step(self, state: TicTacToeState, action: Array, key: Key) -> tuple[TicTacToeState, Position]:
        stone = jnp.where(turn(state.board) == 0, FIRST, SECOND).astype(jnp.int8)
        cell = (jnp.arange(9) == action).reshape(3, 3) & ~state.terminated
        board = jnp.where(cell, stone, state.board)
        won = has_won(board == stone) & ~state.terminated
        reward = jnp.where(won, stone, 0) * jnp.array([1.0, -1.0])
        after = TicTacToeState(board, state.terminated | won | jnp.all(board != 0))
        return after, self.position(after, reward)

    def position(self, state: TicTacToeState, reward: Array) -> Position:
        """What ``state`` shows after a move that paid ``reward`` [2]."""
        player = turn(state.board)
        own = jnp.where(player == 0, state.board, -state.board)
        observation = jnp.stack([own == 1, own == -1], axis=-1).astype(jnp.int8)
        legal = (state.board == 0).reshape(9) | state.terminated
        return Position(observation, legal, player, reward.astype(jnp.float32), state.terminated)

    def symmetries(self) -> Symmetries:
        """The eight of a square."""
        return symmetry.cell_moves(symmetry.SQUARE, SHAPE)

    def show(self, state: TicTacToeState) -> str:
        """Three lines; a free cell shows its number."""
        cells = [LETTERS.get(int(stone), str(i)) for i, stone in enumerate(np.asarray(state.board).reshape(9))]
        return "\n".join(" ".join(cells[row : row + 3]) for row in (0, 3, 6))

    def move_name(self, state: TicTacToeState, action: int) -> str:
        """The number of the cell."""
        return str(int(action))

    def parse_move(self, state: TicTacToeState, text: str) -> int:
        """The move that `move_name` wrote; raises UsageError for anything else."""
        if text.strip() not in [str(i) for i in range(9)]:
            raise UsageError(f"'{text}' is no move; cells are numbered row by row, 0 to 8")
        return int(text)

    def from_text(self, text: str) -> tuple[TicTacToeState, Position]:
        """The position on a board of X, O and dots; X began. Raises UsageError for one that cannot occur."""
        board = read_board(text, 3, 3)
        won = [bool(has_won(board == stone)) for stone in (FIRST, SECOND)]
        check_winner(board, *won)
        state = TicTacToeState(jnp.asarray(board), jnp.asarray(any(won) or bool(np.all(board != 0))))
        return state, self.position(state, jnp.zeros(2))


def turn(board: Array) -> Array:
    """Who moves next on boards [..., 3, 3] of 1 and −1: 0 where both have as many stones, else 1; int32 [...]."""
    return jnp.sum(board, axis=(-2, -1), dtype=jnp.int32)


def has_won(own: ArrayLike) -> Array:
    """Whether stones, bool [3, 3], contain a row, column or diagonal."""
    straight = jnp.any(jnp.all(own, axis=0)) | jnp.any(jnp.all(own, axis=1))
    return straight | jnp.all(jnp.diagonal(own)) | jnp.all(jnp.diagonal(own[:, ::-1]))
