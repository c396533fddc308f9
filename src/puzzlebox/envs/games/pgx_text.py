"""Boards and moves of Pgx games as people write them.

Moves: chess in UCI notation (e2e4, e7e8q), shogi in USI notation (7g7f, 8h2b+, P*5e), Go as A1 to J9 and pass (without
I), Othello and Hex as letter and row from the top; others by number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from puzzlebox.envs.games.fen import read_fields
from puzzlebox.errors import UsageError

FILES = "abcdefghijklmnopqrs"
GO_FILES = "ABCDEFGHJKLMNOPQRST"
PIECES = "PNBRQK"
PROMOTED = ["+P", "+L", "+N", "+S", "+B", "+R"]
SHOGI = {  # ranks, and pieces in Pgx's order
    "shogi": (9, [*"PLNSBRGK", *PROMOTED]),
    "animal_shogi": (4, [*"PBRKG"]),
}


def show(name: str, pgx: Any, player: int) -> str:
    """The board with its coordinates, seen from the first player's side; capitals and X are the first player's.

    ``pgx`` is Pgx's state and ``player`` who moves next, 0 or 1.
    """
    if name in SHOGI:
        return _show_shogi(name, pgx, player)
    planes = np.asarray(pgx.observation) > 0
    if name.endswith("chess"):
        return _show_chess(planes, player)
    return _show_stones(name, planes, player)


def move_name(name: str, pgx: Any, player: int, action: int) -> str:
    """What people call a legal move."""
    if name.endswith("chess"):
        return _chess_move(np.asarray(pgx.observation) > 0, player, action)
    if name in SHOGI:
        return _shogi_move(name, pgx, player, action)
    size = pgx.observation.shape[0]
    if name.startswith("go_"):
        row, column = divmod(action, size)
        return "pass" if row == size else f"{GO_FILES[column]}{size - row}"
    if name in ("othello", "hex"):
        row, column = divmod(action, size)
        return {"othello": "pass", "hex": "swap"}[name] if row == size else f"{FILES[column]}{row + 1}"
    return str(action)


def read_fen(name: str, text: str) -> Any:
    """Pgx's state of a FEN (missing counts of moves are 0 and 1).

    Raises UsageError for a text that is no FEN, and for a position that no game can come to.
    """
    if not name.endswith("chess"):
        raise UsageError(f"positions of {name} cannot be given as text; give the moves that lead there")
    fields = read_fields(text, 8 if name == "chess" else 5)  # checks everything: Pgx trusts what it reads
    if name == "chess":
        from pgx.experimental.chess import from_fen
    else:
        from pgx.gardner_chess import _from_fen as from_fen
    return from_fen(" ".join(fields))


def _show_stones(name: str, planes: np.ndarray, player: int) -> str:
    """A board of X and O from planes, bool [rows, columns, ...]: 0 the stones of the player to move, 1 the other's."""
    first, second = (planes[..., player], planes[..., 1 - player])
    board = np.where(first, "X", np.where(second, "O", "."))
    rows, columns = board.shape
    if name in ("tic_tac_toe", "connect_four"):
        return "\n".join(" ".join(row) for row in board)
    go = name.startswith("go_")
    labels = [str(rows - i if go else i + 1).rjust(2) for i in range(rows)]
    lines = [" " * (i if name == "hex" else 0) + f"{labels[i]} {' '.join(row)}" for i, row in enumerate(board)]
    files = "   " + " ".join((GO_FILES if go else FILES)[:columns])
    return "\n".join([*lines, files] if go else [files, *lines])


def _show_chess(planes: np.ndarray, player: int) -> str:
    """A board of letters from planes, bool [size, size, ...]: 0 to 5 own pieces, 6 to 11 the other's.

    The planes have the first rank of the player to move at the bottom.
    """
    own, others = (PIECES, PIECES.lower()) if player == 0 else (PIECES.lower(), PIECES)
    size = len(planes)
    board = np.full((size, size), ".")
    for plane, letter in enumerate(own + others):
        board[planes[..., plane]] = letter
    board = board if player == 0 else board[::-1]
    lines = [f"{size - i} {' '.join(row)}" for i, row in enumerate(board)]
    return "\n".join([*lines, "  " + " ".join(FILES[:size])])


def _chess_move(planes: np.ndarray, player: int, action: int) -> str:
    """A chess move in UCI notation.

    Pgx numbers squares along files, from the first rank of the player to move. Its first nine planes of moves promote
    to rook, bishop and knight; a pawn that reaches the last rank by any other becomes a queen.
    """
    size = len(planes)
    if size == 8:
        from pgx._src.games.chess import FROM_PLANE as destinations
    else:
        from pgx._src.gardner_chess_utils import TO_MAP as destinations
    origin, plane = divmod(action, destinations.shape[1])
    target = int(destinations[origin, plane])
    squares = ""
    for square in (origin, target):
        file, rank = divmod(square, size)
        squares += FILES[file] + str(rank + 1 if player == 0 else size - rank)
    if plane < 9:
        return squares + "rbn"[plane // 3]
    file, rank = divmod(origin, size)
    return squares + "q" * bool(rank == size - 2 and planes[size - 1 - rank, file, 0])


def _shogi_board(name: str, pgx: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pieces by square (−1: none) and hands [2, kinds], own ones first; squares run down each file from the right."""
    return (
        (np.asarray(pgx._x.board), np.asarray(pgx._x.hand))
        if name == "shogi"
        else (np.asarray(pgx._board), np.asarray(pgx._hand))
    )


def _show_shogi(name: str, pgx: Any, player: int) -> str:
    # Pgx shows the board from the side of the player to move; turned, it is the first player's.
    rows, letters = SHOGI[name]
    board, hands = _shogi_board(name, pgx)
    own, others = (str.upper, str.lower) if player == 0 else (str.lower, str.upper)
    names = [own(letter) for letter in letters] + [others(letter) for letter in letters]
    cells = [names[piece].rjust(2) if piece >= 0 else " ." for piece in board]
    cells, hands = (cells, hands) if player == 0 else (cells[::-1], hands[::-1])
    files = len(cells) // rows
    grid = np.array(cells).reshape(files, rows)[::-1].T
    lines = ["".join(str(f).rjust(3) for f in range(files, 0, -1))]
    lines += [" " + " ".join(row) + f" {FILES[i]}" for i, row in enumerate(grid)]
    held = ["".join(letter * int(n) for letter, n in zip(letters, hand, strict=False)) or "nothing" for hand in hands]
    return "\n".join([*lines, f"in hand: {held[0]}, {held[1].lower()}"])


def _shogi_move(name: str, pgx: Any, player: int, action: int) -> str:
    """A shogi move in USI notation: from and to, + for a promotion, or PIECE*to for a drop."""
    rows, letters = SHOGI[name]
    board, _ = _shogi_board(name, pgx)
    squares = len(board)
    kind, square = divmod(action, squares)

    def coordinates(number: int) -> str:
        """A square as the first player writes it: its file from the right, then the letter of its rank."""
        file, rank = divmod(number if player == 0 else squares - 1 - number, rows)
        return f"{file + 1}{FILES[rank]}"

    if name == "animal_shogi":  # eight directions from a square, then drops onto one
        if kind >= 8:
            return f"{letters[kind - 8]}*{coordinates(square)}"
        file, rank = divmod(square, rows)
        right, down = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))[kind]
        return coordinates(square) + coordinates((file + right) * rows + rank + down)
    if kind >= 20:  # drops; else ten directions onto a square, without and with promotion
        return f"{letters[kind - 20]}*{coordinates(square)}"
    from pgx._src.games.shogi import LEGAL_FROM_IDX

    way = np.asarray(LEGAL_FROM_IDX[kind % 10, square])
    origin = next(int(s) for s in way if s >= 0 and 0 <= board[s] < len(letters))
    return coordinates(origin) + coordinates(square) + "+" * (kind >= 10)
