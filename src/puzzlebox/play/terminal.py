"""``puzzlebox play``: a game against the machine in the terminal, with what it thinks shown as bars.

Moves given by ``--moves`` are yours, in order; the opponent answers each. Then moves are read from the terminal. Where
standard input is not a terminal, the game stops after the given moves; if none were given, they come from the pipe.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TextIO

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs.games.moves import legal_moves, read_move
from puzzlebox.errors import UsageError
from puzzlebox.play.arena import make_game
from puzzlebox.play.players import Choice, Player, make_player
from puzzlebox.runs.progress import forgiving, say
from puzzlebox.runs.trained import shipped
from puzzlebox.scale import backend
from puzzlebox.types import Game

WIDTH = 24  # of the longest bar, in characters
SHOWN = 9  # moves with bars
EIGHTHS = " ▏▎▍▌▋▊▉"
HUMAN = "human"


def play_game(
    game: str,
    against: str = "",
    *,
    moves: str | None = None,
    first: str = "me",
    simulations: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Plays a game and returns it: the moves with visits and values, the last board, how it ended.

    ``against``: a player (see `players`), or "human": then both sides are typed; by default the shipped weights where
    there are some, else mcts. ``first``: who begins, "me" or "them". ``simulations``: of the opponent, per move.
    Raises UsageError for an unknown game or player, and for a move in ``moves`` that is none or illegal.
    """
    if first not in ("me", "them"):
        raise UsageError(f"first is '{first}'; it must be me or them")
    backend.prepare()
    world = make_game(game)
    against = against or ("shipped" if shipped(game) else "mcts")
    opponent = None if against == HUMAN else make_player(against, game, world, simulations)

    # set the table
    out = forgiving(sys.stdout)
    given = (moves or "").replace(",", " ").split()
    interactive = sys.stdin.isatty() or moves is None
    me = 0 if first == "me" else 1
    table = Table(world, opponent, me, seed, out)
    entered = Entered(given, interactive)
    table.show()

    # play, each side in turn
    while not table.over:
        if opponent is None or table.to_move == me:
            if not table.human(entered):
                break
        else:
            table.answer()

    # how it ended
    if table.over:
        left = next(entered.given, None)
        if left is not None:
            raise UsageError(f"move {entered.number + 1}: '{left}' comes after the end of the game")
        print(table.verdict(), file=out)
    return {"game": game, "against": opponent.name if opponent else HUMAN, "first": first} | table.figures()


class Entered:
    """A person's moves: first those given, then, if ``interactive``, those typed."""

    def __init__(self, given: list[str], interactive: bool):
        self.given: Iterator[str] = iter(given)
        self.typed: Iterator[str] = typed() if interactive else iter(())
        self.number = 0  # of the given move

    def next(self) -> tuple[str, bool] | None:
        """The next one, and whether it was given; None where there is none."""
        for move in self.given:
            self.number += 1
            return move, True
        for line in self.typed:
            return line, False
        return None


def typed() -> Iterator[str]:
    """The lines of standard input that are not empty; on a terminal with a prompt and line editing."""
    asks = sys.stdin.isatty()
    if asks:
        with suppress(ImportError):  # Windows has none
            import readline  # noqa: F401  (gives input() its line editing)
    with suppress(EOFError):
        while True:
            line = input("› " if asks else "").strip()
            if line:
                yield line


class Table:
    """A game being played on one board; ``me`` is the number of the person's side, ``opponent`` None for two people."""

    def __init__(self, game: Game, opponent: Player | None, me: int, seed: int, out: TextIO):
        self.game, self.opponent, self.me, self.out = game, opponent, me, out
        self.key = jax.random.key(seed)
        self.step = jax.jit(game.step)
        self.state, self.position = jax.jit(game.reset)(jax.random.fold_in(self.key, 0))
        self.paid = np.zeros(2)
        self.moves: list[dict[str, Any]] = []

    @property
    def over(self) -> bool:
        """Whether the game has ended."""
        return bool(self.position.terminated)

    @property
    def to_move(self) -> int:
        """The number of the player to move."""
        return int(self.position.player)

    def human(self, entered: Entered) -> bool:
        """Makes a person's move; False where there is none. Raises UsageError where a given one cannot be made."""
        while (entry := entered.next()) is not None:
            text, given = entry
            try:
                action = read_move(self.game, self.state, self.position, text)
            except UsageError as error:
                legal = ", ".join(legal_moves(self.game, self.state, self.position))
                line = str(error) if "legal:" in str(error) else f"{error}; legal: {legal}"
                if given:
                    raise UsageError(f"move {entered.number}: {line}") from None
                say(line)
                continue
            self.make(action, "you" if self.opponent else f"player {self.to_move + 1}", Choice(np.array([action])))
            return True
        return False

    def answer(self) -> None:
        """Makes the opponent's move, and shows what it thought."""
        assert self.opponent is not None
        states, positions = jax.tree.map(lambda x: jnp.asarray(x)[None], (self.state, self.position))
        choice = self.opponent.choose(states, positions, jax.random.fold_in(self.key, 2 * len(self.moves) + 1))
        name = self.game.move_name(self.state, int(choice.action[0]))
        thoughts = thinking(self.game, self.state, choice)
        print(f"{self.opponent.name} plays {name}{', ' if thoughts else ''}{thoughts}", file=self.out)
        self.make(int(choice.action[0]), "them", choice)

    def make(self, action: int, by: str, choice: Choice) -> None:
        """Makes a move, records it with its player's thoughts; shows the board if a person is next, or at the end."""
        move: dict[str, Any] = {"move": self.game.move_name(self.state, action), "by": by}
        if choice.visits is not None:
            tried = np.flatnonzero(choice.visits[0])
            move["visits"] = {self.game.move_name(self.state, int(a)): float(choice.visits[0, a]) for a in tried}
        if choice.value is not None:
            move["value"] = float(choice.value[0])
        self.moves.append(move)
        key = jax.random.fold_in(self.key, 2 * len(self.moves))
        self.state, self.position = self.step(self.state, np.int32(action), key)
        self.paid = self.paid + np.asarray(self.position.reward)
        if self.over or self.opponent is None or self.to_move == self.me:
            self.show()

    def show(self) -> None:
        """Prints the board, and the legal moves if a person is to move."""
        print(f"\n{self.game.show(self.state)}\n", file=self.out)
        if not self.over and (self.opponent is None or self.to_move == self.me):
            who = "you move" if self.opponent else f"player {self.to_move + 1} moves"
            legal = ", ".join(legal_moves(self.game, self.state, self.position))
            print(f"{who}; legal: {legal}", file=self.out)
        self.out.flush()

    def winner(self) -> str | None:
        """ "you", "them", "player 1", "player 2" or "nobody"; None while the game goes on."""
        if not self.over:
            return None
        if self.paid[0] == self.paid[1]:
            return "nobody"
        best = int(self.paid.argmax())
        if self.opponent is None:
            return f"player {best + 1}"
        return "you" if best == self.me else "them"

    def verdict(self) -> str:
        """How the game ended, in a sentence."""
        winner = self.winner()
        names = {"nobody": "a draw", "you": "you have won", "them": f"{self.opponent and self.opponent.name} has won"}
        return f"{names.get(str(winner), f'{winner} has won')} after {len(self.moves)} moves"

    def figures(self) -> dict[str, Any]:
        """What ``--json`` prints of the game."""
        return {
            "moves": self.moves,
            "board": self.game.show(self.state),
            "legal": [] if self.over else legal_moves(self.game, self.state, self.position),
            "finished": self.over,
            "winner": self.winner(),
        }


def thinking(game: Game, state: Any, choice: Choice) -> str:
    """A player's value, and its visits as bars, the most visited moves first; empty where it says nothing."""
    parts = []
    if choice.value is not None:
        parts.append(f"value {choice.value[0]:+.2f} for itself")
    if choice.visits is None:
        return "".join(parts)
    visits = choice.visits[0]
    order = [int(a) for a in np.argsort(-visits, kind="stable") if visits[a] > 0]
    parts.append(f"{visits.sum():.0f} simulations")
    names = {a: game.move_name(state, a) for a in order[:SHOWN]}
    width = max(map(len, names.values()), default=0)
    bars = [f"  {name:>{width}} {bar(visits[a] / visits.max())} {visits[a]:.0f}" for a, name in names.items()]
    rest = [f"  {len(order) - SHOWN} more with fewer visits"] if len(order) > SHOWN else []
    return "\n".join([", ".join(parts), *bars, *rest])


def bar(share: float) -> str:
    """A bar of `WIDTH` characters at most, in eighths of one."""
    eighths = round(float(share) * WIDTH * 8)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()).ljust(WIDTH)
