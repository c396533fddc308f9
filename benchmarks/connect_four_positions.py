"""Makes the held Connect 4 positions anew, with bitbully, in minutes.

`python -m benchmarks.connect_four_positions FILE`; the same seed gives the same file, which is
src/puzzlebox/envs/games/connect_four_positions.txt.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from puzzlebox.envs.games import connect_four_solver
from puzzlebox.envs.games.connect_four import COLUMNS, board_after
from puzzlebox.envs.games.connect_four_positions import PHASES
from puzzlebox.envs.games.perfect import solution
from puzzlebox.envs.games.stones import ILLEGAL

SEED, PER_PHASE = 4, 200
HEADER = "# phase, columns played, score of each column for the player to move (see perfect.py; x: full)"


def random_game(length: int, generator: np.random.Generator) -> str | None:
    """Columns of a game that is not over after ``length`` moves, none of which lost at once if one could be found."""
    bitbully, _ = connect_four_solver.solver()
    board, moves = bitbully.BoardCore(), ""
    for _ in range(length):
        legal = board.legalMoves(nonLosing=True, orderMoves=False) or board.legalMoves(
            nonLosing=False, orderMoves=False
        )
        column = int(generator.choice(sorted(legal)))
        board.play(column)
        moves += str(column)
        if board.hasWin():
            return None
    return moves


def main() -> None:
    generator = np.random.default_rng(SEED)
    lines, seen = [HEADER], set()
    for phase, (fewest, most) in PHASES.items():
        found = 0
        while found < PER_PHASE:
            moves = random_game(int(generator.integers(fewest, most + 1)), generator)
            if moves is None:
                continue
            board = board_after(tuple(map(int, moves)))
            alike = min(board.tobytes(), board[:, ::-1].tobytes())
            score = connect_four_solver.scores(board, np.array(False))
            solved = solution(score, np.array(False))
            if alike in seen or np.array_equal(solved.optimal, score > ILLEGAL):
                continue
            seen.add(alike)
            found += 1
            lines.append(f"{phase} {moves} " + " ".join("x" if s == ILLEGAL else str(s) for s in score[:COLUMNS]))
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
