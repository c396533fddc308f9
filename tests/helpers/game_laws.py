"""What must hold for every game, whatever its rules."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from playouts import random_games


def check_game(game: Any, moves: int, games: int = 3) -> tuple[Any, Any, np.ndarray]:
    """Asserts the laws of `Game` and `Position` on random games, which it returns as `random_games` does."""
    states, position, actions = random_games(game, games, moves)
    space, choices = game.observation_space, int(game.action_space.n)
    forms = {
        "observation": (space.dtype, space.shape),
        "legal": (np.bool_, (choices,)),
        "player": (np.int32, ()),
        "reward": (np.float32, (2,)),
        "terminated": (np.bool_, ()),
    }
    for name, (dtype, shape) in forms.items():
        leaf = getattr(position, name)
        assert (leaf.dtype, leaf.shape) == (dtype, (moves + 1, games, *shape)), name
    assert np.all(position.observation >= space.low) and np.all(position.observation <= space.high)
    assert np.all(position.legal.any(-1)), "a position without a legal move"
    assert np.all(position.reward.sum(-1) == 0), "rewards do not sum to zero"
    over, before = position.terminated[1:], position.terminated[:-1]
    assert np.all(over | ~before), "a game went on after its end"
    assert np.all(position.reward[0] == 0) and np.all(position.reward[1:][before | ~over] == 0)
    assert np.all(position.legal[position.terminated]), "after the end every move counts as legal"
    assert np.all(position.player[0] == 0)
    alternates = position.player[1:] == 1 - position.player[:-1]
    assert np.all(alternates | over), "turns do not alternate"
    for leaf in (position.observation, position.legal, position.player):
        same = (leaf[1:] == leaf[:-1]).reshape(moves, games, -1).all(-1)
        assert np.all(same | ~before), "a step after the end changed something"
    return states, position, actions


def check_symmetries(game: Any, moves: int) -> None:
    """Asserts that a turned board with turned moves is, at every move of a random game, the turned original."""
    _, original, actions = random_games(game, 1, moves, seed=3)
    turns = game.symmetries()
    ways, cells = turns.observation.shape
    assert np.array_equal(turns.observation[0], np.arange(cells))
    assert np.array_equal(np.sort(turns.observation), np.tile(np.arange(cells), (ways, 1)))
    assert len(np.unique(turns.observation, axis=0)) == ways
    turned_move = np.argsort(turns.action, axis=1)[:, actions[:, 0]].T.astype(np.int32)  # [moves, ways]

    def play(key):
        start = jax.vmap(game.reset, (None,), axis_size=ways)(key)

        def move(state, action):
            state, position = jax.vmap(game.step, (0, 0, None))(state, action, key)
            return state, position

        return jax.lax.scan(move, start[0], turned_move)[1]

    turned = jax.tree.map(np.asarray, jax.jit(play)(jax.random.key(0)))
    seen = original.observation[1:, 0].reshape(moves, -1)
    for way in range(ways):
        assert np.array_equal(turned.observation[:, way].reshape(moves, -1), seen[:, turns.observation[way]])
        assert np.array_equal(turned.legal[:, way], original.legal[1:, 0][:, turns.action[way]])
        assert np.array_equal(turned.terminated[:, way], original.terminated[1:, 0])
        assert np.array_equal(turned.reward[:, way], original.reward[1:, 0])


def check_names(game: Any, states: Any, positions: Any) -> None:
    """Asserts that in these positions every legal move has a name of its own, which is read back as that move."""
    for i in range(len(positions.terminated)):
        if not positions.terminated[i]:
            state = jax.tree.map(lambda leaf, i=i: leaf[i], states)
            legal = np.flatnonzero(positions.legal[i]).tolist()
            names = [game.move_name(state, action) for action in legal]
            assert len(set(names)) == len(legal)
            assert game.parse_move(state, f" {names[0]} ") == legal[0]
            assert game.parse_move(state, names[-1]) == legal[-1]


def perft(step: Any, state: Any, position: Any, depth: int) -> list[int]:
    """How many sequences of legal moves of length 1 … depth there are, by the compiled ``step`` of a game."""
    counts, frontier = [], [(state, position)]
    while True:
        moves = [() if at.terminated else np.flatnonzero(at.legal).astype(np.int32) for _, at in frontier]
        counts.append(sum(map(len, moves)))
        if len(counts) == depth:
            return counts
        pairs = zip(frontier, moves, strict=True)
        frontier = [step(state, move, jax.random.key(0)) for (state, _), legal in pairs for move in legal]
