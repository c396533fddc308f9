"""Boards of X and O as text, for the games in which each move adds one stone."""

from __future__ import annotations

import numpy as np

from puzzlebox.errors import UsageError

FIRST, SECOND, EMPTY = 1, -1, 0
LETTERS = {FIRST: "X", SECOND: "O"}
STONES = {"X": FIRST, "O": SECOND, ".": EMPTY}
ILLEGAL = -100  # the score of a move that cannot be made; see `perfect`


def read_board(text: str, rows: int, columns: int) -> np.ndarray:
    """int8 [rows, columns] of FIRST, SECOND and EMPTY from X, O and dots (or digits), spaces and case ignored.

    A last line of digits, the names of the columns, is skipped. Raises UsageError for anything else, and for numbers of
    stones that taking turns cannot lead to.
    """
    lines = ["".join(line.split()).upper() for line in text.strip().splitlines()]
    if len(lines) == rows + 1 and lines[-1].isdigit():
        lines.pop()
    if len(lines) != rows or any(len(line) != columns for line in lines):
        widths = sorted({len(line) for line in lines})
        found = f"{len(lines)} rows of {' or '.join(map(str, widths))}"
        raise UsageError(f"this board has {found} cells; it must have {rows} rows of {columns}, made of X, O and .")
    board = np.zeros((rows, columns), np.int8)
    for row, line in enumerate(lines):
        for column, letter in enumerate(line):
            if letter not in STONES and not letter.isdigit():
                raise UsageError(f"'{letter}' in row {row + 1} of the board is none of X, O and .")
            board[row, column] = STONES.get(letter, EMPTY)
    check_counts(board)
    return board


def check_counts(board: np.ndarray) -> None:
    """Raises UsageError unless X has as many stones as O, or one more (X begins)."""
    first, second = int(np.sum(board == FIRST)), int(np.sum(board == SECOND))
    if first - second not in (0, 1):
        raise UsageError(
            f"this board cannot occur: X has {first} stones and O {second}, but X begins and they take turns"
        )


def check_winner(board: np.ndarray, first_wins: bool, second_wins: bool) -> None:
    """Raises UsageError where both have won, or where the game went on after one had won."""
    if first_wins and second_wins:
        raise UsageError("this board cannot occur: both X and O have won")
    to_move = FIRST if np.sum(board) == 0 else SECOND
    if (first_wins and to_move == FIRST) or (second_wins and to_move == SECOND):
        winner, other = ("X", "O") if first_wins else ("O", "X")
        raise UsageError(f"this board cannot occur: {winner} had won, and {other} moved after it")
