"""Players of games, for the arena and for playing against: each chooses moves for a whole batch of games at once.

random            every legal move alike
mcts, mcts:N      plain Monte Carlo tree search: UCT with N random games per move, no network
perfect           wins as soon and loses as late as it can (tic_tac_toe, connect_four); of several best moves any
DIR               a run of alphazero, muzero or clone: ``runs/az``, ``runs/az,agent=2``, ``runs/az,simulations=64``
shipped           the weights that come with the package
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting.uct import random_move, uct
from puzzlebox.envs.games import perfect
from puzzlebox.errors import UsageError
from puzzlebox.runs.trained import Trained, open_trained, read_name, shipped
from puzzlebox.types import Array, Game, Key, Position, State

SHIPPED_SIMULATIONS = 200  # more than it learned with: people can wait a moment
NAMES = ("random", "mcts", "mcts:N", "perfect", "shipped")
MCTS_SIMULATIONS = 1000


class Choice(NamedTuple):
    """Moves for ``B`` games, and what the player thinks, if it can say: visits per move, value for the one to move."""

    action: np.ndarray  # int32 [B]
    visits: np.ndarray | None = None  # float [B, U]
    value: np.ndarray | None = None  # float [B]


class Player(Protocol):
    """``varies``: it plays at random in part; ``simulations``: of its search per move, 0 where it does not search."""

    name: str
    varies: bool
    simulations: int

    def choose(self, states: State, positions: Position, key: Key) -> Choice: ...


class Random:
    """Every legal move with the same probability."""

    name, varies, simulations = "random", True, 0

    def __init__(self) -> None:
        self._choose = jax.jit(random_move)

    def choose(self, states: State, positions: Position, key: Key) -> Choice:
        return Choice(np.asarray(self._choose(positions.legal, key)))


class MonteCarlo:
    """UCT with random games; takes the most visited move, of several such moves the one with the better outcome.

    Source: Kocsis & Szepesvári 2006, Bandit based Monte-Carlo planning.
    """

    varies = True

    def __init__(self, game: Game, simulations: int):
        self.name, self.simulations = f"mcts:{simulations}", simulations

        def search(states: State, positions: Position, key: Key) -> tuple[Array, Array, Array]:
            """Moves, visits ``[B, U]`` and the mean outcome over all visits ``[B]``."""
            visits, value = uct(game, states, positions, key, simulations)
            # visits are whole numbers and values lie in [-1, 1]: a quarter of a value only breaks ties
            action = jnp.argmax(jnp.where(positions.legal, visits + 0.25 * value, -jnp.inf), axis=-1)
            return action.astype(jnp.int32), visits, (visits * value).sum(-1) / jnp.maximum(visits.sum(-1), 1.0)

        self._search = jax.jit(search)

    def choose(self, states: State, positions: Position, key: Key) -> Choice:
        return Choice(*map(np.asarray, self._search(states, positions, key)))


class Perfect:
    """Wins as soon and loses as late as possible; draws at random among equally good moves.

    Raises UsageError for a game that cannot be solved here.
    """

    name, varies, simulations = "perfect", True, 0

    def __init__(self, game: Game):
        perfect.check_solvable(game)
        self.game = game
        self._choose = jax.jit(random_move)

    def choose(self, states: State, positions: Position, key: Key) -> Choice:
        solution = perfect.solve(self.game, states)
        return Choice(np.asarray(self._choose(solution.best, key)), value=np.sign(solution.score.max(-1)).astype(float))


class Searcher:
    """A trained agent: its network and the search that it learned with, without noise."""

    varies = False

    def __init__(self, name: str, trained: Trained, simulations: int):
        self.name, self.simulations, self._state = name, simulations, trained.state
        self._search = jax.jit(
            lambda state, games, positions, key: trained.algorithm.search(state, games, positions, key, simulations)
        )

    def choose(self, states: State, positions: Position, key: Key) -> Choice:
        found = self._search(self._state, states, positions, key)
        return Choice(np.asarray(found.action), np.asarray(found.visits), np.asarray(found.value))

    def as_if(self, state: State) -> Searcher:
        """The same player with what another agent of its run learned; nothing is compiled again."""
        other = copy.copy(self)
        other._state = state
        return other


def make_player(name: str | Path, env: str, game: Game, simulations: int | None = None) -> Player:
    """The player called ``name`` for the game called ``env``; ``simulations`` per move where the name has no number.

    Raises UsageError for a player that does not exist, cannot play this game, or would search zero times.
    """
    base, _, number = str(name).partition(":")
    if simulations is not None and simulations < 1:
        raise UsageError(f"simulations is {simulations}; a search needs at least 1")
    if base == "random" and not number:
        return Random()
    if base == "mcts":
        return MonteCarlo(game, _simulations(str(name), number, simulations))
    if base == "perfect" and not number:
        return Perfect(game)
    if base == "shipped" and not number:
        place = shipped(env)
        if place is None:
            raise UsageError(f"no weights for {env} come with the package; train some: puzzlebox train alphazero {env}")
        return make_searcher("shipped", str(place), env, simulations or SHIPPED_SIMULATIONS)
    return make_searcher(str(name), str(name), env, simulations)


def make_searcher(label: str, name: str, env: str, simulations: int | None) -> Searcher:
    """The agent of a run; raises UsageError for one that was trained on something else than the game ``env``."""
    path, options = read_name(name)
    if not Path(path).exists():
        if options and path.partition(":")[0] in NAMES:
            raise UsageError(f"the player {path} takes no options; '{name}' has some")
        raise UsageError(f"there is no player '{path}': no run directory of that name, and none of {', '.join(NAMES)}")
    trained = open_trained(path, options.get("agent", 0), options.get("steps"), env)
    simulations = options.get("simulations", simulations or trained.algorithm.num_simulations)
    if simulations < 1:
        raise UsageError(f"simulations is {simulations}; a search needs at least 1")
    return Searcher(label, trained, simulations)


def _simulations(name: str, number: str, simulations: int | None) -> int:
    """The number in ``mcts:N``, else ``simulations``, else the default; raises UsageError for another number."""
    if not number:
        return simulations or MCTS_SIMULATIONS
    if not number.isdigit() or int(number) < 1:
        raise UsageError(f"'{name}': the number of simulations must be a whole number of at least 1, as in mcts:1000")
    return int(number)
