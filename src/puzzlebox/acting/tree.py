"""One search tree in plain Python, to be read and drawn: PUCT as in AlphaZero (Silver et al. 2017), or UCT.

`search` is the fast one, on whole batches; this one grows a single tree of objects, one simulation at a time:

    select     from the root, follow the child with the highest score until a position without children
    expand     give it a child for every legal move
    evaluate   estimate what it is worth: a network's value, or one random game
    back up    add the estimate to every position on the way

Departures from AlphaZero: c is a constant instead of growing with the logarithm of the visits, and there is no noise on
the root. An outcome is a pair, what each player gets, so that no signs change on the way up.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting.uct import playout
from puzzlebox.types import Array, Game, Key, Position

EXPLORATION = 1.25


@dataclasses.dataclass
class Node:
    """A position of the tree: the prior of the move that leads to it, its visits and outcomes, its children by move.

    ``state`` and ``position`` are None before the first visit. ``total`` is the sum of outcomes, one number per player.
    """

    prior: float = 1.0
    state: Any = None
    position: Position | None = None
    paid: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(2))  # from the root to here
    visits: int = 0
    total: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(2))
    children: dict[int, Node] = dataclasses.field(default_factory=dict)

    @property
    def player(self) -> int:
        assert self.position is not None
        return int(self.position.player)

    @property
    def terminated(self) -> bool:
        assert self.position is not None
        return bool(self.position.terminated)

    def value(self, player: int) -> float:
        """The mean outcome for ``player``; 0 before the first visit."""
        return float(self.total[player] / self.visits) if self.visits else 0.0


class Guess(NamedTuple):
    """An estimate of a position: ``prior [U]`` over moves, and what each player will still get, ``outcome [2]``."""

    prior: np.ndarray
    outcome: np.ndarray


Evaluate = Callable[[Any, Position, Key], Guess]
Score = Callable[[Node, Node], float]  # (parent, child) -> how much the child should be visited


def grow(
    game: Game, state: Any, position: Position, evaluate: Evaluate, key: Key, num_simulations: int, score: Score
) -> Node:
    """The root of a tree of ``num_simulations`` simulations, from a position that is not the end of its game.

    The root is expanded first, which is not counted as a simulation.
    """
    root = Node(state=state, position=position)
    _expand(root, evaluate(state, position, jax.random.fold_in(key, 0)).prior)
    for number in range(1, num_simulations + 1):
        # select
        step_key, guess_key = jax.random.split(jax.random.fold_in(key, number))
        path = _select(game, root, score, step_key)
        leaf = path[-1]
        # expand and evaluate
        outcome = leaf.paid
        if not leaf.terminated:
            guess = evaluate(leaf.state, leaf.position, guess_key)  # type: ignore[arg-type]
            _expand(leaf, guess.prior)
            outcome = leaf.paid + guess.outcome
        # back up
        for node in path:
            node.visits += 1
            node.total = node.total + outcome
    return root


def puct(parent: Node, child: Node) -> float:
    """Q(s, a) + c · P(a | s) √N(s) / (1 + N(s, a)); an unvisited child counts as a draw, 0."""
    bonus = child.prior * math.sqrt(parent.visits) / (1 + child.visits)
    return child.value(parent.player) + EXPLORATION * bonus


def uct(parent: Node, child: Node) -> float:
    """Q(s, a) + c √( ln N(s) / N(s, a) ); an unvisited child comes first."""
    if not child.visits:
        return math.inf
    return child.value(parent.player) + math.sqrt(math.log(parent.visits) / child.visits)


def random_games(game: Game) -> Evaluate:
    """Estimates by random games: a uniform prior over legal moves, and the outcome of one random game."""

    def evaluate(state: Any, position: Position, key: Key) -> Guess:
        legal = np.asarray(position.legal, np.float64)
        return Guess(legal / legal.sum(), np.asarray(_random_game(game, state, position, key), np.float64))

    return evaluate


def networks(predict: Callable[[Any], tuple[Any, Any]]) -> Evaluate:
    """Estimates by a network: ``predict(observation [1, ...])`` gives logits ``[1, U]`` and a value ``[1]``.

    The value is that of the player to move; the other player's is its negative.
    """
    compiled = jax.jit(predict)

    def evaluate(state: Any, position: Position, key: Key) -> Guess:
        logits, value = compiled(position.observation[None])
        weights = np.exp(np.asarray(logits[0], np.float64) - np.max(logits[0], where=position.legal, initial=-np.inf))
        prior = np.where(position.legal, weights, 0.0)
        worth = float(value[0])
        return Guess(prior / prior.sum(), np.array([worth, -worth] if int(position.player) == 0 else [-worth, worth]))

    return evaluate


def best(root: Node) -> int:
    """The most visited move; on a tie the one with the higher value."""
    return max(root.children, key=lambda a: (root.children[a].visits, root.children[a].value(root.player)))


def _select(game: Game, root: Node, score: Score, key: Key) -> list[Node]:
    """The nodes from the root to one that has no children yet; its position is computed on its first visit."""
    path = [root]
    while path[-1].children:
        parent = path[-1]
        action = max(parent.children, key=lambda a: score(parent, parent.children[a]))
        child = parent.children[action]
        if child.position is None:
            child.state, position = _step(game, parent.state, jnp.int32(action), key)
            child.position = jax.tree.map(np.asarray, position)
            child.paid = parent.paid + position.reward
        path.append(child)
    return path


def _expand(node: Node, prior: np.ndarray) -> None:
    """A child for every legal move, unless the game has ended there."""
    assert node.position is not None
    if not node.terminated:
        node.children = {int(a): Node(prior=float(prior[a])) for a in np.flatnonzero(node.position.legal)}


@eqx.filter_jit
def _step(game: Game, state: Any, action: Array, key: Key) -> tuple[Any, Position]:
    return game.step(state, action, key)


@eqx.filter_jit
def _random_game(game: Game, state: Any, position: Position, key: Key) -> Array:
    states, legal, terminated = jax.tree.map(
        lambda x: jnp.asarray(x)[None], (state, position.legal, position.terminated)
    )
    return playout(game, states, legal, terminated, key)[0]
