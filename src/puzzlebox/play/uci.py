"""``puzzlebox uci``: a player of chess as an engine that chess programs can host, by the Universal Chess Interface.

Understood: uci, isready, ucinewgame, position startpos|fen … moves …, go (nodes, depth, movetime, wtime, btime, winc,
binc, movestogo, infinite), stop, quit. As the protocol asks, words before the first command and whatever else is not
understood are left out; what had a meaning and is wrong is answered with ``info string``, and no line ends the engine.
Source: Stefan Meyer-Kahlen, UCI protocol, 2006.

A search has a fixed number of simulations, because it is one compiled program. A longer thought is that search again
and again with other random numbers, the visits of all added up: `nodes` and `depth` say how many simulations or
searches, a clock how long. `stop` is heard between two searches. A score is given in centipawns on Elo's scale,
400 log₁₀ of the odds of winning.
"""

from __future__ import annotations

import io
import itertools
import math
import queue
import re
import sys
import threading
import time
from typing import Any, TextIO

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox import __version__
from puzzlebox.envs.games.moves import read_move
from puzzlebox.errors import UsageError
from puzzlebox.play.arena import game_of, make_game
from puzzlebox.play.players import Player, make_player
from puzzlebox.scale import backend
from puzzlebox.types import Game

GAMES = ("pgx:chess", "pgx:gardner_chess")
COMMANDS = (
    "uci",
    "debug",
    "isready",
    "setoption",
    "register",
    "ucinewgame",
    "position",
    "go",
    "stop",
    "ponderhit",
    "quit",
)
NUMBERS = ("nodes", "depth", "movetime", "wtime", "btime", "winc", "binc", "movestogo")
MOVES_LEFT = 30  # that a game is expected to last, where the clock does not say
NOBODY = "0000"  # UCI's word for no move


def uci(player: str, *, simulations: int | None = None, seed: int = 0) -> dict[str, Any]:
    """Serves one player on standard input and output until ``quit`` or the end of the input; returns what it did.

    Raises UsageError for a player that does not play chess.
    """
    backend.prepare()
    way_out = f"give one of {' or '.join(GAMES)}, mcts:1000 or random"
    env = GAMES[0] if player.partition(":")[0] in ("random", "mcts") else game_of([player], way_out)
    if env not in GAMES:
        raise UsageError(f"{player} was trained on {env}; UCI is spoken by players of {' and '.join(GAMES)}")
    game = make_game(env)
    engine = Engine(game, make_player(player, env, game, simulations), sys.stdout, seed)
    arrived: queue.Queue[str | None] = queue.Queue()
    for stream in (sys.stdin, sys.stdout):  # bytes that are no text, and text that the terminal does not know
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    threading.Thread(target=_listen, args=(sys.stdin, arrived), daemon=True).start()
    while (line := arrived.get()) is not None:
        if not engine.hear(line, arrived):
            break
    return {"player": player, "game": env, "moves": engine.moves}


class Engine:
    """The position, and what is answered to each line."""

    def __init__(self, game: Game, player: Player, write: TextIO, seed: int):
        self.game, self.player, self.write = game, player, write
        self.key = jax.random.key(seed)
        self.reset, self.step = jax.jit(game.reset), jax.jit(game.step)
        self.state, self.position = self.reset(self.key)
        self.moves = 0  # answered
        self.waiting: list[str] = []  # heard while thinking

    def say(self, text: str) -> None:
        print(text, file=self.write, flush=True)

    def hear(self, line: str, arrived: queue.Queue[str | None]) -> bool:
        """Answers one line; False at the end."""
        command, *words = understood(line)
        if command == "uci":
            self.say(f"id name puzzlebox {__version__} {self.player.name}\nid author the puzzlebox authors\nuciok")
        elif command == "isready":
            self.think(1, 0.0)  # compiles, so that no clock runs meanwhile
            self.say("readyok")
        elif command == "position":
            self.place(words)
        elif command == "go":
            return self.go(words, arrived)
        return command != "quit"

    def place(self, words: list[str]) -> None:
        """``startpos`` or ``fen …``, then ``moves …``; what cannot be is reported, and the position stays."""
        kind = next((word for word in words if word in ("startpos", "fen")), "")
        words = words[words.index(kind) :] if kind else []
        cut = words.index("moves") if "moves" in words else len(words)
        try:
            if kind == "fen":
                state, position = self.game.from_text(" ".join(words[1:cut]))  # type: ignore[attr-defined]
            elif kind == "startpos":
                state, position = self.reset(self.key)
            else:
                raise UsageError("a position is startpos or fen …, and then moves …")
            for move in words[cut + 1 :]:
                action = read_move(self.game, state, position, move)
                state, position = self.step(state, np.int32(action), self.key)
        except UsageError as error:
            self.say(f"info string {error}")
            return
        self.state, self.position = state, position

    def go(self, words: list[str], arrived: queue.Queue[str | None]) -> bool:
        """Thinks within the limits and says the best move; False where it was told to quit meanwhile."""
        if bool(self.position.terminated):
            self.say(f"bestmove {NOBODY}")
            return True
        limits = self.limits(words)
        going = True

        def stopped() -> bool:
            nonlocal going
            while not arrived.empty():
                line = arrived.get()
                told = "quit" if line is None else understood(line)[0]
                if told == "isready":
                    self.say("readyok")
                if told in ("stop", "quit"):
                    going = told == "stop"
                    return True
            return False

        searches, seconds = (math.inf, math.inf) if "infinite" in words else self.budget(limits)
        action = self.think(searches, seconds, stopped)
        self.moves += 1
        self.say(f"bestmove {self.game.move_name(self.state, action)}")
        return going

    def limits(self, words: list[str]) -> dict[str, int]:
        """The numbers behind the words of ``go``; one that cannot be read is reported and left out."""
        found = {}
        for word, value in itertools.pairwise([*words, "nothing"]):
            if word in NUMBERS and re.fullmatch("-?[0-9]{1,15}", value):  # clocks are sent below 0 too
                found[word] = max(0, int(value))
            elif word in NUMBERS:
                self.say(f"info string {word} is '{value}'; it must be a whole number, so go without it")
        return found

    def budget(self, limits: dict[str, int]) -> tuple[float, float]:
        """How many searches, and how many seconds at most."""
        own = "w" if int(self.position.player) == 0 else "b"
        if "movetime" in limits:
            return math.inf, limits["movetime"] / 1000
        if f"{own}time" in limits:
            left, gain = limits[f"{own}time"], limits.get(f"{own}inc", 0)
            moves = limits.get("movestogo", 0) or MOVES_LEFT  # 0 moves to go says nothing
            return math.inf, min(left / moves + 0.8 * gain, 0.5 * left) / 1000
        if "nodes" in limits:
            return max(1, limits["nodes"] // max(1, self.player.simulations)), math.inf
        return max(1, limits.get("depth", 1)), math.inf

    def think(self, searches: float, seconds: float, stopped: Any = lambda: False) -> int:
        """The move visited most in all searches together; reports each search."""
        began = time.perf_counter()
        states, positions = jax.tree.map(lambda x: jnp.asarray(x)[None], (self.state, self.position))
        visits, value, done, longest = np.zeros(int(self.game.action_space.n)), 0.0, 0, 0.0
        while True:
            started = time.perf_counter()
            self.key, key = jax.random.split(self.key)
            choice = self.player.choose(states, positions, key)
            done += 1
            if choice.visits is None:
                return int(choice.action[0])
            visits, value = (
                visits + choice.visits[0],
                value + (float(choice.value[0]) if choice.value is not None else 0),
            )
            best = int(choice.action[0]) if done == 1 else int(visits.argmax())
            spent = time.perf_counter() - began
            longest = max(longest, time.perf_counter() - started)
            if seconds:
                self.report(done, int(visits.sum()), value / done, spent, best)
            if done >= searches or spent + longest > seconds or stopped():
                return best

    def report(self, depth: int, nodes: int, value: float, spent: float, best: int) -> None:
        odds = (1 + np.clip(value, -0.999, 0.999)) / (1 - np.clip(value, -0.999, 0.999))
        self.say(
            f"info depth {depth} nodes {nodes} nps {nodes / max(spent, 1e-6):.0f} time {1000 * spent:.0f} "
            f"score cp {400 * math.log10(odds):.0f} pv {self.game.move_name(self.state, best)}"
        )


def understood(line: str) -> list[str]:
    """The words of a line from its first command on; [""] where it has none."""
    words = line.split()
    return next((words[i:] for i, word in enumerate(words) if word in COMMANDS), [""])


def _listen(read: TextIO, arrived: queue.Queue[str | None]) -> None:
    for line in read:
        arrived.put(line)
    arrived.put(None)
