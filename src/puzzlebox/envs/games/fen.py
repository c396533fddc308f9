"""FEN, the text of a chess position, read field by field and judged: can a game come to this position?

The judgement is that of python-chess's ``Board.status``: kings, numbers of men, pawns on the first and last rank, the
right to castle, the en passant square, a king that could be taken, and checks that no last move can have given. Boards
are dicts from (file, rank), both from 0 and seen from White, to the letter of a man; capitals are White's.
Source: Edwards 1994, Portable Game Notation Specification, 16.1.
"""

from __future__ import annotations

import re

from puzzlebox.errors import UsageError

Square = tuple[int, int]
Board = dict[Square, str]
MISSING = ["", "", "-", "-", "0", "1"]  # what stands for fields that are left out; the first two must be there
ROOKS = {"K": (7, 0), "Q": (0, 0), "k": (7, 7), "q": (0, 7)}  # where a right to castle needs one
LONGEST = 9999  # no game of chess has more moves, and Pgx counts in 32 bits


def read_fields(text: str, size: int) -> list[str]:
    """The six fields of a FEN on ``size`` × ``size`` squares, with the usual ones for those left out.

    Raises UsageError for a text that is no FEN, and for a position that no game can come to.
    """
    fields = [*text.split(), *MISSING[len(text.split()) :]]
    rows = fields[0].split("/")
    letters = set(fields[0]) <= set("pnbrqkPNBRQK12345678/")  # first: int() below reads other scripts' digits too
    widths = [sum(int(c) if c.isdigit() else 1 for c in row) for row in rows] if letters else []
    kings = fields[0].count("K") == fields[0].count("k") == 1
    if not (kings and widths == [size] * size and fields[1] in ("w", "b") and len(fields) == 6):
        raise UsageError(f"'{text}' is no FEN of a position on {size} × {size} squares with one king on each side")
    for count in fields[4:]:
        if not re.fullmatch("[0-9]{1,9}", count) or int(count) > LONGEST:
            raise UsageError(f"'{text}' is no FEN: '{count}' is no number of moves from 0 to {LONGEST}")
    wrong = impossible(_board(rows), fields[1] == "w", fields[2], fields[3], size)
    if wrong:
        raise UsageError(f"no game comes to the position '{text}': {wrong}")
    return fields


def impossible(board: Board, white: bool, castling: str, en_passant: str, size: int = 8) -> str:
    """Why no game can come to this position with White (or Black) to move; "" where nothing speaks against it."""
    men = "".join(board.values())
    for name, own in (("White", [c for c in men if c.isupper()]), ("Black", [c.upper() for c in men if c.islower()])):
        if len(own) > 2 * size or own.count("P") > size:
            return (
                f"{name} has {len(own)} men, {own.count('P')} of them pawns; at most {2 * size} and {size} are possible"
            )
    if any(letter in "Pp" and rank in (0, size - 1) for (_, rank), letter in board.items()):
        return "a pawn stands on the first or last rank"
    wrong = _castling(board, castling, size) or _en_passant(board, white, en_passant, size)
    if wrong:
        return wrong
    king, others = _king(board, white), _king(board, not white)
    if attackers(board, others, white):
        return f"{'White' if white else 'Black'} is to move and could take the king"
    return _checks(board, king, attackers(board, king, not white), white, en_passant)


def attackers(board: Board, target: Square, white: bool) -> list[Square]:
    """The squares of White's (or Black's) men that attack ``target``."""
    return [square for square, letter in board.items() if letter.isupper() == white and _attacks(board, square, target)]


def _attacks(board: Board, square: Square, target: Square) -> bool:
    files, ranks = target[0] - square[0], target[1] - square[1]
    letter = board[square]
    if letter in "Pp":
        return abs(files) == 1 and ranks == (1 if letter == "P" else -1)
    if letter in "Nn":
        return {abs(files), abs(ranks)} == {1, 2}
    far = max(abs(files), abs(ranks))
    if letter in "Kk":
        return far == 1
    straight, diagonal = (files == 0) != (ranks == 0), abs(files) == abs(ranks) > 0
    if not ((straight and letter in "RrQq") or (diagonal and letter in "BbQq")):
        return False
    step = files // far, ranks // far
    return not any((square[0] + i * step[0], square[1] + i * step[1]) in board for i in range(1, far))


def _board(rows: list[str]) -> Board:
    board: Board = {}
    for rank, row in enumerate(reversed(rows)):
        file = 0
        for c in row:
            if not c.isdigit():
                board[file, rank] = c
            file += int(c) if c.isdigit() else 1
    return board


def _king(board: Board, white: bool) -> Square:
    return next(square for square, letter in board.items() if letter == ("K" if white else "k"))


def _castling(board: Board, castling: str, size: int) -> str:
    if castling == "-":
        return ""
    if size != 8 or not castling or len(set(castling)) < len(castling) or not set(castling) <= set(ROOKS):
        return f"its rights to castle are '{castling}'; they are {'-' if size != 8 else 'some of KQkq, or -'}"
    for right in castling:
        king, home, rook = ("K", (4, 0), "R") if right.isupper() else ("k", (4, 7), "r")
        if board.get(home) != king or board.get(ROOKS[right]) != rook:
            return f"it has the right to castle {right}, but king and rook do not stand at home"
    return ""


def _en_passant(board: Board, white: bool, en_passant: str, size: int) -> str:
    if en_passant == "-":
        return ""
    if size != 8 or not re.fullmatch(f"[a-h]{6 if white else 3}", en_passant):
        return f"its en passant square is '{en_passant}'"
    file, rank = "abcdefgh".index(en_passant[0]), int(en_passant[1]) - 1
    behind, front = (file, rank + 1), (file, rank - 1)  # where a black pawn came from, and where it stands
    pawn = "p" if white else "P"
    if not white:
        behind, front = front, behind
    if board.get(front) != pawn or (file, rank) in board or behind in board:
        return f"its en passant square is {en_passant}, but no pawn can have passed it"
    return ""


def _checks(board: Board, king: Square, checkers: list[Square], white: bool, en_passant: str) -> str:
    """Of the one or two men that give check, the last move must have moved or uncovered each."""
    wrong = len(checkers) > 2
    if checkers and en_passant != "-":  # the last move is known: a pawn went two squares
        file, rank, back = "abcdefgh".index(en_passant[0]), int(en_passant[1]) - 1, 1 if white else -1
        before = {square: letter for square, letter in board.items() if square != (file, rank - back)}
        before[file, rank + back] = "."  # it stands in the way; that it attacks from there is not asked
        already = attackers(before, king, not white)
        wrong |= len(checkers) > 1 or (checkers[0] != (file, rank - back) and bool(already))
    elif len(checkers) == 2:
        (a, b), (c, d) = ((x - king[0], y - king[1]) for x, y in checkers)
        wrong |= a * d == b * c  # both on one line with the king
    return "no last move can have given this check" if wrong else ""
