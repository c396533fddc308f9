"""Connect 4: stones fall down one of seven columns of six cells; four in a row win.

Moves are the columns, 0 to 6 from the left. James Allen and Victor Allis showed in 1988 that the first player can win,
but only by beginning in the centre.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import gymnasium
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.games import symmetry
from puzzlebox.envs.games.stones import EMPTY, FIRST, LETTERS, SECOND, check_winner, read_board
from puzzlebox.errors import UsageError
from puzzlebox.types import Array, ArrayLike, Key, Position, Symmetries

ROWS, COLUMNS = 6, 7
SHAPE = (ROWS, COLUMNS, 2)
OBSERVATION_SPACE = gymnasium.spaces.Box(0, 1, SHAPE, np.int8)
ACTION_SPACE = gymnasium.spaces.Discrete(COLUMNS)


class ConnectFourState(NamedTuple):
    board: Array  # int8 [6, 7], the top row first: 1 a stone of the first player, -1 of the second
    terminated: Array  # bool []


class ConnectFour(eqx.Module):
    """Observation: own and other stones, int8 [6, 7, 2]. Reward: 1 to the winner, −1 to the loser, 0 for a draw."""

    num_players = 2

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return OBSERVATION_SPACE

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return ACTION_SPACE

    def reset(self, key: Key) -> tuple[ConnectFourState, Position]:
        state = ConnectFourState(jnp.zeros((ROWS, COLUMNS), jnp.int8), jnp.zeros((), bool))
        return state, self.position(state, jnp.zeros(2))

    def step(self, state: ConnectFourState, action: Array, key: Key) -> tuple[ConnectFourState, Position]:
        stone = jnp.where(turn(state.board) == 0, FIRST, SECOND).astype(jnp.int8)
        free = jnp.sum(state.board == 0, axis=0)  # a stone falls onto row free - 1
        cell = (jnp.arange(ROWS)[:, None] == free - 1) & (jnp.arange(COLUMNS) == action) & ~state.terminated
        board = jnp.where(cell, stone, state.board)
        won = has_won(board == stone) & ~state.terminated
        reward = jnp.where(won, stone, 0) * jnp.array([1.0, -1.0])
        after = ConnectFourState(board, state.terminated | won | jnp.all(board[0] != 0))
        return after, self.position(after, reward)

    def position(self, state: ConnectFourState, reward: Array) -> Position:
        """What ``state`` shows after a move that paid ``reward`` [2]."""
        player = turn(state.board)
        own = jnp.where(player == 0, state.board, -state.board)
        observation = jnp.stack([own == 1, own == -1], axis=-1).astype(jnp.int8)
        legal = (state.board[0] == 0) | state.terminated
        return Position(observation, legal, player, reward.astype(jnp.float32), state.terminated)

    def symmetries(self) -> Symmetries:
        """As it is, and left and right exchanged."""
        numbers = np.arange(np.prod(SHAPE), dtype=np.int32).reshape(SHAPE)
        columns = np.arange(COLUMNS, dtype=np.int32)
        return Symmetries(
            np.stack([numbers.reshape(-1), symmetry.mirror(numbers).reshape(-1)]), np.stack([columns, columns[::-1]])
        )

    def show(self, state: ConnectFourState) -> str:
        """Six lines of stones, and the columns' numbers."""
        rows = [[LETTERS.get(int(stone), ".") for stone in row] for row in np.asarray(state.board)]
        return "\n".join(" ".join(row) for row in [*rows, [str(c) for c in range(COLUMNS)]])

    def move_name(self, state: ConnectFourState, action: int) -> str:
        """The number of the column."""
        return str(int(action))

    def parse_move(self, state: ConnectFourState, text: str) -> int:
        """The move that `move_name` wrote; raises UsageError for anything else."""
        if text.strip() not in [str(i) for i in range(COLUMNS)]:
            raise UsageError(f"'{text}' is no move; columns are numbered from the left, 0 to 6")
        return int(text)

    def from_text(self, text: str) -> tuple[ConnectFourState, Position]:
        """The position on a board of X, O and dots; X began. Raises UsageError for one that cannot occur."""
        board = read_board(text, ROWS, COLUMNS)
        for row, column in np.argwhere(board != EMPTY):
            if row + 1 < ROWS and board[row + 1, column] == EMPTY:
                raise UsageError(
                    f"this board cannot occur: the stone in column {column}, row {row + 1} from the top, floats"
                )
        won = [bool(has_won(board == stone)) for stone in (FIRST, SECOND)]
        check_winner(board, *won)
        if not can_occur(board):
            raise UsageError("this board cannot occur: no order of moves leads to it")
        state = ConnectFourState(jnp.asarray(board), jnp.asarray(any(won) or bool(np.all(board[0] != 0))))
        return state, self.position(state, jnp.zeros(2))


def turn(board: Array) -> Array:
    """Who moves next on boards [..., 6, 7] of 1 and −1: 0 where both have as many stones, else 1; int32 [...]."""
    return jnp.sum(board, axis=(-2, -1), dtype=jnp.int32)


def has_won(own: ArrayLike) -> Array:
    """Whether stones, bool [6, 7], contain four in a row: each direction is the board moved three times onto itself."""
    across = own[:, :-3] & own[:, 1:-2] & own[:, 2:-1] & own[:, 3:]
    down = own[:-3] & own[1:-2] & own[2:-1] & own[3:]
    falling = own[:-3, :-3] & own[1:-2, 1:-2] & own[2:-1, 2:-1] & own[3:, 3:]
    rising = own[3:, :-3] & own[2:-1, 1:-2] & own[1:-2, 2:-1] & own[:-3, 3:]
    return jnp.any(across) | jnp.any(down) | jnp.any(falling) | jnp.any(rising)


def board_after(columns: tuple[int, ...]) -> np.ndarray:
    """The board, int8 [6, 7], after legal moves in these columns."""
    board, height = np.zeros((ROWS, COLUMNS), np.int8), [0] * COLUMNS
    for i, column in enumerate(columns):
        board[ROWS - 1 - height[column], column] = FIRST if i % 2 == 0 else SECOND
        height[column] += 1
    return board


def can_occur(board: np.ndarray) -> bool:
    """Whether some order of moves leads to a board without floating stones on which at most one player has won.

    Stones are taken off the tops of columns, in turns, beginning with the player who moved last, in every order. Where
    someone has won, the last stone must be one without which nobody has won. Where nobody has, no board with fewer of
    these stones is won either, so that only the turns matter.
    """
    # The stones of each column from the bottom up, and what may be left after the last stone is taken off.
    stacks = [[int(stone) for stone in board[::-1, column] if stone != EMPTY] for column in range(COLUMNS)]
    last = SECOND if np.sum(board) == 0 else FIRST
    heights = tuple(len(stack) for stack in stacks)
    if has_won(board == FIRST) or has_won(board == SECOND):
        starts = []
        for column, stack in enumerate(stacks):
            if stack and stack[-1] == last:
                before = board.copy()
                before[ROWS - len(stack), column] = EMPTY
                if not has_won(before == last):
                    starts.append((tuple(h - (c == column) for c, h in enumerate(heights)), -last))
    else:
        starts = [(heights, last)]
    # Search: take off one stone after the other until the board is empty. A position is given by its heights.
    waiting, seen = starts, {start[0] for start in starts}
    while waiting:
        heights, last = waiting.pop()
        if not any(heights):
            return True
        for column, height in enumerate(heights):
            if height and stacks[column][height - 1] == last:
                smaller = tuple(h - (c == column) for c, h in enumerate(heights))
                if smaller not in seen:
                    seen.add(smaller)
                    waiting.append((smaller, -last))
    return False
