"""Random games by other implementations' rules: writes tests/data/expected/games.json.

Run by hand when a game is added: python tests/peers/make_expected_games.py (needs open_spiel and python-shogi).
A game is its moves, the legal moves before each (shogi: how many), and the returns of first and second player.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

EXPECTED = Path(__file__).parent.parent / "data" / "expected" / "games.json"


def openspiel_game(name: str, generator: np.random.Generator) -> dict[str, Any]:
    import pyspiel

    state = pyspiel.load_game(name).new_initial_state()
    moves, legal = [], []
    while not state.is_terminal():
        legal.append(list(state.legal_actions()))
        moves.append(int(generator.choice(legal[-1])))
        state.apply_action(moves[-1])
    return {"moves": moves, "legal": legal, "returns": [int(r) for r in state.returns()]}


def shogi_game(length: int, generator: np.random.Generator) -> dict[str, Any]:
    import shogi

    board = shogi.Board()
    moves, legal = [], []
    while len(moves) < length and not board.is_game_over():
        names = sorted(move.usi() for move in board.legal_moves)
        legal.append(len(names))
        moves.append(str(generator.choice(names)))
        board.push_usi(moves[-1])
    return {"moves": moves, "legal": legal}


def main() -> None:
    generator = np.random.default_rng(0)
    games = {name: [openspiel_game(name, generator) for _ in range(8)] for name in ("connect_four", "othello")}
    games["shogi"] = [shogi_game(120, generator) for _ in range(3)]
    EXPECTED.write_text(json.dumps(games, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
