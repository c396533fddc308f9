"""Perfect play: exact scores of every move, for the games that are solved here.

A score is for the player to move: positive for a win, negative for a loss, 0 for a draw. Its size is

    ⌈cells / 2⌉ + 1 − stones that the winner has on the board at the end,

so that a sooner win and a later loss score more, and the best score is the best move.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from puzzlebox.envs.games.connect_four import ConnectFour
from puzzlebox.envs.games.stones import ILLEGAL
from puzzlebox.envs.games.tic_tac_toe import TicTacToe
from puzzlebox.errors import UsageError
from puzzlebox.types import Game, Named, State

SOLVED = "tic_tac_toe, connect_four"


class Solution(NamedTuple):
    """Scores and good moves of a batch of states; after the end of a game every score is 0 and every move is best."""

    score: np.ndarray  # int32 [..., U], ILLEGAL where a move is
    optimal: np.ndarray  # bool [..., U], keeps the best result still to be had: a win, else a draw, else a loss
    best: np.ndarray  # bool [..., U], also wins soonest or loses latest


def solve(game: Game, states: State) -> Solution:
    """Exact scores of all moves in one state, or in a batch of states of any shape. It runs on the host.

    Raises UsageError for a game without a perfect player here, and where Connect 4's solver is not installed.
    """
    states = jax.tree.map(np.asarray, states)
    if isinstance(game, TicTacToe):
        from puzzlebox.envs.games import minimax

        return solution(minimax.scores(states.board), states.terminated)
    if isinstance(game, ConnectFour):
        from puzzlebox.envs.games import connect_four_solver

        return solution(connect_four_solver.scores(states.board, states.terminated), states.terminated)
    name = game.name if isinstance(game, Named) else type(game).__name__
    raise UsageError(f"there is no perfect player of {name}; there is one of: {SOLVED}")


def check_solvable(game: Game) -> None:
    """Raises the errors of `solve` before anything long begins."""
    solve(game, jax.jit(game.reset)(jax.random.key(0))[0])


def solution(score: np.ndarray, terminated: np.ndarray) -> Solution:
    """Which moves are optimal, and best, by their scores ``[..., U]``."""
    score = np.where(terminated[..., None], 0, score).astype(np.int32)
    highest = score.max(-1, keepdims=True)
    return Solution(score, (np.sign(score) == np.sign(highest)) & (score > ILLEGAL), score == highest)
