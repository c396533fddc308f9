"""The search finds what brute force finds, with a network that knows nothing, and counts as it should."""

import functools
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting import search
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.envs.games.tic_tac_toe import TicTacToe
from puzzlebox.types import Position, Symmetries

GAME = TicTacToe()
LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]
METHODS = {
    "gumbel": functools.partial(search.gumbel, noise=0.0),
    "puct": functools.partial(search.puct, noise=0.0, temperature=0.0),
    "loud gumbel": search.gumbel,
    "loud puct": search.puct,
}
by_method = pytest.mark.parametrize("method", ["gumbel", "puct"])


def knows_nothing(observation):
    return jnp.zeros((len(observation), 9)), jnp.zeros(len(observation))


def stack(moves):
    """The positions after these lists of moves, as a batch."""
    return jax.tree.map(lambda *x: jnp.stack(x), *[from_moves(GAME, " ".join(map(str, m))) for m in moves])


@functools.cache
def finder(method, num_simulations, evaluate=knows_nothing, game=GAME):
    def find(states, positions, key):
        root, model = search.known_rules(game, evaluate, states, positions)
        return METHODS[method](root, model, key, num_simulations)

    return jax.jit(find)


def find(method, moves, num_simulations=64, **options):
    found = finder(method, num_simulations, **options)(*stack(moves), jax.random.key(0))
    return jax.tree.map(np.asarray, found)


def winner(moves):
    stones = {move: i % 2 for i, move in enumerate(moves)}
    return next((stones[a] for a, b, c in LINES if a in stones and stones[a] == stones.get(b) == stones.get(c)), None)


@functools.cache
def minimax(moves):
    """Value for the player to move and the best moves, by trying everything."""
    if winner(moves) is not None:
        return -1, set()
    free = [c for c in range(9) if c not in moves]
    if not free:
        return 0, set()
    values = {c: -minimax((*moves, c))[0] for c in free}
    best = max(values.values())
    return best, {c for c, v in values.items() if v == best}


def endgames(count, low, high):
    """Unfinished games of ``low`` to ``high`` random moves."""
    generator = np.random.default_rng(0)
    games = []
    while len(games) < count:
        moves = tuple(int(c) for c in generator.permutation(9)[: generator.integers(low, high + 1)])
        if all(winner(moves[:n]) is None for n in range(len(moves) + 1)):
            games.append(moves)
    return games


@by_method
def test_it_wins_in_one_and_blocks_a_threat_from_both_sides(method):
    known = {(0, 3, 1, 4): {2}, (0, 3, 1, 4, 8): {2, 5}, (4, 0, 1): {7}, (4, 0, 8, 6): {3}}
    assert [minimax(moves)[1] for moves in known] == list(known.values())  # both by hand and by brute force
    for action, (moves, best) in zip(find(method, list(known), 256).action, known.items(), strict=True):
        assert action in best, moves


@by_method
def test_it_plays_endgames_as_brute_force_does(method):
    moves = endgames(64, 4, 7)
    found = find(method, moves, 256)
    for game, action, value in zip(moves, found.action, found.value, strict=True):
        best, actions = minimax(game)
        assert action in actions, game
        assert abs(value - best) < 0.5, game


@by_method
def test_visits_and_weights_are_where_moves_are_legal(method):
    moves = [(), (4, 0), (0, 1, 2, 4, 3, 5, 7, 6)]
    found = find(method, moves, 32)
    legal = np.asarray(stack(moves)[1].legal)
    np.testing.assert_array_equal(found.visits.sum(-1), [32, 32, 32])
    np.testing.assert_allclose(found.weights.sum(-1), 1, rtol=1e-5)
    assert (found.visits[~legal] == 0).all()
    assert (found.weights[~legal] == 0).all()
    assert legal[np.arange(3), found.action].all()


class Poisoned(TicTacToe):
    """An illegal move of a running game pays ten thousand."""

    def step(self, state, action, key):
        after, position = super().step(state, action, key)
        illegal = ~state.terminated & (state.board.reshape(9)[action] != 0)
        return after, position._replace(reward=jnp.where(illegal, 1e4, position.reward))


@by_method
def test_illegal_moves_are_not_tried_within_the_tree_either(method):
    found = find(method, [(), (4, 0), (0, 1, 4)], 128, game=Poisoned())
    assert (np.abs(found.value) <= 1).all()


def certain(observation):
    return jnp.zeros((len(observation), 9)), jnp.full(len(observation), 0.9)


@by_method
def test_after_the_end_only_the_outcome_counts(method):
    """One cell is left and the game is drawn; a network that expects 0.9 everywhere is not asked about the end."""
    draw = (0, 1, 2, 4, 3, 5, 7, 6)
    assert minimax(draw) == (0, {8})
    root = 0.9 / 17 if method == "puct" else 0.0  # puct's mean counts the network's guess of the root once
    np.testing.assert_allclose(find(method, [draw], 16, evaluate=certain).value, root, atol=1e-6)


def test_the_other_players_hope_is_ones_fear():
    """One simulation of PUCT: Q = 0 + (−1) · 0.9, and the mean over the root's guess and Q is 0."""
    found = find("puct", [()], 1, evaluate=certain)
    np.testing.assert_allclose(found.value, (0.9 - 0.9) / 2, atol=1e-6)
    np.testing.assert_allclose(find("gumbel", [()], 1, evaluate=certain).value, -0.9, rtol=1e-6)


def test_discount_of_all_cases():
    mover, player, over = jnp.array([0, 0, 1, 0]), jnp.array([1, 0, 1, 1]), jnp.array([False, False, False, True])
    np.testing.assert_array_equal(search.discount(mover, player, over), [-1, 1, 1, 0])


class Climb(NamedTuple):
    height: jax.Array
    moves: jax.Array


class Ladder:
    """One player, three moves; each 1 climbs, and being at the top after the last pays 1."""

    num_players = 1
    observation_space = gymnasium.spaces.Box(0, 3, (2,))
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, key):
        return self.step(Climb(jnp.int32(0), jnp.int32(-1)), jnp.int32(0), key)

    def step(self, state, action, key):
        after = Climb(state.height + (action == 1), state.moves + 1)
        over = after.moves >= 3
        reward = jnp.array([1.0, 0.0]) * (over & (after.height == 3) & (state.moves == 2))
        seen = jnp.stack([after.height, after.moves]).astype(jnp.float32)
        legal = jnp.array([True, True, False]) | over
        return after, Position(seen, legal, jnp.int32(0), reward, over)

    def symmetries(self):
        return Symmetries(np.arange(2)[None], np.arange(3)[None])

    def show(self, state):
        return ""

    def move_name(self, state, action):
        return str(action)

    def parse_move(self, state, text):
        return int(text)


@by_method
def test_a_game_of_one_player_keeps_its_sign(method):
    def evaluate(observation):
        return jnp.zeros((len(observation), 3)), jnp.zeros(len(observation))

    states, positions = jax.tree.map(lambda x: x[None], Ladder().reset(jax.random.key(0)))
    found = finder(method, 64, evaluate, Ladder())(states, positions, jax.random.key(0))
    assert found.action[0] == 1
    assert found.value[0] > 0.5


def test_noise_makes_searches_differ_and_none_makes_them_equal():
    for method in ("gumbel", "puct"):
        assert len(set(find(f"loud {method}", [()] * 32, 8).action.tolist())) > 3
    assert len(set(find("gumbel", [(4,)] * 3, 32).action.tolist())) == 1


def test_puct_without_temperature_takes_the_most_visited_move():
    found = find("puct", [(0, 3, 1, 4), (4,), (4, 0, 8, 6)], 32)
    np.testing.assert_array_equal(found.visits[np.arange(3), found.action], found.visits.max(axis=-1))


def guesses(observation):
    """Logits and values that know no ties, but on the empty board."""
    key = jax.random.key(3)
    seen = observation.reshape(len(observation), -1)
    weights = jax.random.normal(key, (seen.shape[1], 10))
    return (seen @ weights)[:, :9], jnp.tanh((seen @ weights)[:, 9])


@pytest.mark.parametrize("method", METHODS)
def test_the_simulations_are_those_of_mctx(method, monkeypatch):
    games = [(2,), (4,), (0, 3, 1, 4), (4, 0, 8, 6), (0, 1, 2, 4, 3, 5, 7)]

    def search_them():
        def find(states, positions, key):
            root, model = search.known_rules(GAME, guesses, states, positions)
            return METHODS[method](root, model, key, 60)

        return jax.jit(find)(*stack(games), jax.random.key(0))

    ours = search_them()
    monkeypatch.setattr(search, "simulations", lambda *_: jax.lax.fori_loop)
    theirs = search_them()
    np.testing.assert_array_equal(ours.visits, theirs.visits)
    np.testing.assert_array_equal(ours.action, theirs.action)
    np.testing.assert_allclose(ours.weights, theirs.weights, atol=1e-6)
    np.testing.assert_allclose(ours.value, theirs.value, atol=1e-6)


@by_method
def test_agents_with_numbers_of_their_own_search_as_if_they_were_alone(method):
    name, numbers = {"gumbel": ("value_scale", [0.02, 0.5]), "puct": ("exploration", [0.3, 4.0])}[method]
    states, positions = stack([(), (4,), (0, 3, 1, 4)])

    def find(number, key):
        root, model = search.known_rules(GAME, guesses, states, positions)
        return METHODS[f"loud {method}"](root, model, key, 40, **{name: number}).visits

    keys = jax.random.split(jax.random.key(0), 2)
    together = jax.jit(jax.vmap(find))(jnp.array(numbers), keys)
    alone = [jax.jit(find)(number, key) for number, key in zip(numbers, keys, strict=True)]
    np.testing.assert_array_equal(together, jnp.stack(alone))
    assert (together[0] != together[1]).any()
