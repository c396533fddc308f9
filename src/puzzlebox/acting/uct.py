"""Plain Monte Carlo tree search, batched: UCT with random playouts, no network (Coulom 2006; Kocsis & Szepesvári 2006).

A simulation walks down the tree by UCB1, adds one position, plays random moves from there to the end, and writes the
result into every position it came through:

    choose a with the highest  Q(s, a) + c √( ln N(s) / N(s, a) ),  untried moves first

c is √2 by default, for outcomes from −1 to 1. Of 0.5, 0.7, 1, √2, 2 and 2.8 all from 1 up choose a move that keeps the
result in 92 to 93% of random Connect 4 positions with 1,000 simulations; in tic-tac-toe √2 is the best, with 99.8%.
Ties are broken at random.

`B` trees grow at once, as arrays with one row per position. Every tree walks down in lockstep: a walk that has arrived
waits. (Under `vmap` a loop would copy whole trees each step; here only the rows that change are written.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from puzzlebox.types import Array, Game, Key, Position

EXPLORATION = 2**0.5


class Forest(NamedTuple):
    """``B`` trees of up to ``M`` positions; row 0 is the root. ``total`` is for the player who made the move there.

    Row i is the position that simulation i adds, so a tree of n simulations has M = n + 1 rows.
    """

    state: Any  # leaves [B, M, ...]
    legal: Array  # bool [B, M, U]
    player: Array  # int32 [B, M], to move
    terminated: Array  # bool [B, M]
    paid: Array  # float32 [B, M, 2], rewards from the root to here
    parent: Array  # int32 [B, M]
    children: Array  # int32 [B, M, U], 0 where there is none
    visits: Array  # float32 [B, M]
    total: Array  # float32 [B, M], the sum of outcomes


def uct(
    game: Game,
    states: Any,
    positions: Position,
    key: Key,
    num_simulations: int,
    *,
    exploration: float = EXPLORATION,
) -> tuple[Array, Array]:
    """Searches ``B`` positions at once; returns each move's visits and mean outcome, float32 ``[B, U]`` both.

    The mean outcome is for the player to move, 0 where a move was not tried. ``states`` and ``positions`` have leaves
    ``[B, ...]``. Memory: ``num_simulations`` + 1 states per tree.
    """
    batch, num_actions = positions.legal.shape
    rows = jnp.arange(batch)

    # Empty trees with the given positions at their roots.
    def room(x: Array) -> Array:
        return jnp.zeros((batch, num_simulations + 1, *x.shape[1:]), x.dtype).at[:, 0].set(x)

    count = jnp.zeros((batch, num_simulations + 1))
    nobody = jnp.zeros((batch, num_simulations + 1), jnp.int32)
    forest = Forest(
        jax.tree.map(room, states),
        room(positions.legal),
        room(positions.player),
        room(positions.terminated),
        jnp.zeros((batch, num_simulations + 1, 2)),
        nobody,
        jnp.zeros((batch, num_simulations + 1, num_actions), jnp.int32),
        count,
        count,
    )

    def simulate(new: Array, forest: Forest) -> Forest:
        walk_key, step_key, playout_key = jax.random.split(jax.random.fold_in(key, new), 3)
        node, action = _walk(forest, jax.random.uniform(walk_key, (batch, num_actions)), exploration)
        forest = _add(game, forest, new, node, action, step_key)
        leaf = jnp.where(forest.terminated[rows, node], node, new)
        state = jax.tree.map(lambda x: x[rows, leaf], forest.state)
        still = playout(game, state, forest.legal[rows, leaf], forest.terminated[rows, leaf], playout_key)
        gain = forest.paid[rows, leaf] + still
        return _write_back(forest, leaf, gain)

    forest = jax.lax.fori_loop(1, num_simulations + 1, simulate, forest)
    # Read the root's moves off the trees.
    children = forest.children[:, 0]
    visits = jnp.where(children > 0, forest.visits[rows[:, None], children], 0.0)
    total = jnp.where(children > 0, forest.total[rows[:, None], children], 0.0)
    return visits, total / jnp.maximum(visits, 1.0)


def playout(game: Game, states: Any, legal: Array, terminated: Array, key: Key) -> Array:
    """What each player gets when uniformly random moves are played from here to the end, float32 ``[B, 2]``."""
    batch = terminated.shape[0]

    def play(carry):
        state, legal, _, total, key = carry
        key, action_key, step_key = jax.random.split(key, 3)
        action = random_move(legal, action_key)
        state, position = jax.vmap(game.step)(state, action, jax.random.split(step_key, batch))
        return state, position.legal, position.terminated, total + position.reward, key

    carry = (states, legal, terminated, jnp.zeros((batch, 2)), key)
    return jax.lax.while_loop(lambda carry: ~carry[2].all(), play, carry)[3]


def random_move(legal: Array, key: Key) -> Array:
    """One of the legal moves of each row, all equally likely: ``bool [B, U]`` -> ``int32 [B]``."""
    rank = jnp.cumsum(legal, axis=-1, dtype=jnp.int32)
    chosen = jnp.floor(jax.random.uniform(key, legal.shape[:1]) * rank[:, -1]).astype(jnp.int32)
    return jnp.sum(rank <= chosen[:, None], axis=-1, dtype=jnp.int32)


def _walk(forest: Forest, noise: Array, exploration: float) -> tuple[Array, Array]:
    """From the root to an untried move or the end of a game: that position's row and the move, int32 ``[B]`` each."""
    rows = jnp.arange(noise.shape[0])

    def choose(node: Array) -> Array:
        children = forest.children[rows, node]
        visits = forest.visits[rows[:, None], children]
        mean = forest.total[rows[:, None], children] / jnp.maximum(visits, 1.0)
        bonus = jnp.sqrt(jnp.log(forest.visits[rows, node])[:, None] / jnp.maximum(visits, 1.0))
        score = jnp.where(children > 0, mean + exploration * bonus, jnp.inf)
        best = jnp.where(forest.legal[rows, node], score, -jnp.inf)
        tied = best == best.max(axis=-1, keepdims=True)
        return jnp.argmax(jnp.where(tied, noise, -1.0), axis=-1).astype(jnp.int32)

    def step(carry):
        node, action, walking = carry
        chosen = choose(node)
        action = jnp.where(walking, chosen, action)
        following = forest.children[rows, node, chosen]
        on = walking & (following > 0)
        node = jnp.where(on, following, node)
        return node, action, on & ~forest.terminated[rows, node]

    nowhere = jnp.zeros(noise.shape[0], jnp.int32)
    node, action, _ = jax.lax.while_loop(
        lambda carry: carry[2].any(), step, (nowhere, nowhere, ~forest.terminated[:, 0])
    )
    return node, action


def _add(game: Game, forest: Forest, new: Array, node: Array, action: Array, key: Key) -> Forest:
    """Fills row ``new`` with the position after ``action`` at ``node``; unused where the game had ended there."""
    rows = jnp.arange(node.shape[0])
    state, position = jax.vmap(game.step)(
        jax.tree.map(lambda x: x[rows, node], forest.state), action, jax.random.split(key, node.shape[0])
    )
    over = forest.terminated[rows, node]
    return forest._replace(
        state=jax.tree.map(lambda old, x: old.at[:, new].set(x), forest.state, state),
        legal=forest.legal.at[:, new].set(position.legal),
        player=forest.player.at[:, new].set(position.player),
        terminated=forest.terminated.at[:, new].set(position.terminated),
        paid=forest.paid.at[:, new].set(forest.paid[rows, node] + position.reward),
        parent=forest.parent.at[:, new].set(node),
        children=forest.children.at[rows, node, action].set(jnp.where(over, 0, new)),
    )


def _write_back(forest: Forest, leaf: Array, gain: Array) -> Forest:
    """Adds the outcome ``gain [B, 2]`` to every position from the leaf to the root."""
    rows = jnp.arange(leaf.shape[0])

    def climb(carry):
        node, climbing, visits, total = carry
        parent = forest.parent[rows, node]
        mover = forest.player[rows, parent]
        visits = visits.at[rows, node].add(climbing)
        total = total.at[rows, node].add(jnp.where(climbing, gain[rows, mover], 0.0))
        return parent, climbing & (node > 0), visits, total

    everywhere = jnp.ones(leaf.shape, bool)
    carry = (leaf, everywhere, forest.visits, forest.total)
    _, _, visits, total = jax.lax.while_loop(lambda carry: carry[1].any(), climb, carry)
    return forest._replace(visits=visits, total=total)
