"""AlphaZero: its loss by hand, boards turned with what belongs to them, pending outcomes, resuming, bad requests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting.self_play import SearchRecord, start
from puzzlebox.algorithms.planning.alphazero import AlphaZero
from puzzlebox.algorithms.planning.learner import Remembered, loss, optimiser
from puzzlebox.algorithms.planning.symmetry import random_symmetry
from puzzlebox.envs import make
from puzzlebox.envs.games.moves import from_moves
from puzzlebox.errors import UsageError
from puzzlebox.nets.board import BoardNetwork, patches
from puzzlebox.runs import checkpoint
from puzzlebox.runs.agents import Agents
from puzzlebox.runs.configure import configure
from puzzlebox.training import train

TINY = {"num_envs": 4, "num_steps": 3, "capacity": 48, "num_updates": 2, "batch_size": 8, "learning_starts": 12}
TINY |= {"num_simulations": 4, "width": 8, "blocks": 1}


def agent(env="tic_tac_toe", **options):
    return AlphaZero(make(env), **(TINY | options))


def flat(tree):
    return [
        jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in jax.tree.leaves(tree)
    ]


def assert_equal(a, b):
    for x, y in zip(flat(a), flat(b), strict=True):
        np.testing.assert_array_equal(x, y)


def remembered(observation, weights, **columns):
    """Rows as in the replay; what is not given is 0, or True for what may be done and counts."""
    rows = len(weights)
    zeros, none = np.zeros(rows), np.zeros(rows, np.int32)
    given = {"legal": np.ones((rows, weights.shape[1]), bool), "mask": np.ones(rows, bool)} | columns
    mask = given.pop("mask")
    whole = dict.fromkeys(("player", "next_player", "board", "game"), none) | dict.fromkeys(("value", "paid"), zeros)
    return jax.tree.map(jnp.asarray, Remembered(observation, mask, SearchRecord(weights=weights, **(whole | given))))


def finished(*results):
    """One board whose games ended so for the first player."""
    paid = jnp.array([[[r, -r] for r in results]], jnp.float32)
    game = make("tic_tac_toe")
    games = start(game, 1, jax.random.key(0), remember=len(results))
    return games._replace(results=paid, finished=jnp.array([len(results)]))


class Guess:
    """A network that says the same everywhere."""

    def __init__(self, logits, value):
        self.logits, self.value = jnp.array(logits), value

    def __call__(self, observation):
        return jnp.tile(self.logits, (len(observation), 1)), jnp.full(len(observation), self.value)


def test_the_loss_by_hand():
    """p = (1/2, 1/4, 1/4) among three legal moves; w = (0, 1, 0) and z = −1; then w = (1/2, 1/2, 0) and z = 1."""
    logits = np.log([2.0, 1, 1] + [7] * 6)
    legal = np.array([[True] * 3 + [False] * 6] * 2)
    weights = np.array([[0, 1.0, 0] + [0] * 6, [0.5, 0.5, 0] + [0] * 6])
    rows = remembered(np.zeros((2, 3, 3, 2)), weights, legal=legal, player=np.array([1, 0]))
    total, metrics = loss(agent(symmetries=False), Guess(logits, 0.5), finished(1.0), rows, jax.random.key(0))
    cross_entropy = (np.log(4) + (np.log(2) + np.log(4)) / 2) / 2
    squares = (1.5**2 + 0.5**2) / 2
    assert float(metrics["policy_loss"]) == pytest.approx(cross_entropy, rel=1e-5)
    assert float(metrics["value_loss"]) == pytest.approx(squares, rel=1e-5)
    assert float(metrics["entropy"]) == pytest.approx(np.log(2) / 2 + np.log(4) / 2, rel=1e-5)
    assert float(total) == pytest.approx(cross_entropy + squares, rel=1e-5)


def test_what_is_unknown_or_random_has_no_weight():
    """Three moves of games 0 (won), 0 (a random move) and 1 (still going on)."""
    weights = np.eye(9)[[0, 1, 2]]
    columns = {"game": np.array([0, 0, 1]), "mask": np.array([True, False, True])}
    rows = remembered(np.zeros((3, 3, 3, 2)), weights, **columns)
    logits = np.log([1.0, 99, 3] + [1] * 6)
    _, metrics = loss(agent(symmetries=False), Guess(logits, 0.0), finished(1.0), rows, jax.random.key(0))
    total = 1 + 99 + 3 + 6
    assert float(metrics["value_loss"]) == pytest.approx(1.0)
    assert float(metrics["policy_loss"]) == pytest.approx(-np.log(1 / total) / 2 - np.log(3 / total) / 2, rel=1e-5)


def test_the_searchs_value_may_be_mixed_in():
    rows = remembered(np.zeros((1, 3, 3, 2)), np.eye(9)[[0]], value=np.array([0.5]))
    mixed = agent(search_share=0.25, symmetries=False)
    _, metrics = loss(mixed, Guess(np.zeros(9), 0.0), finished(1.0), rows, jax.random.key(0))
    assert float(metrics["value_loss"]) == pytest.approx((0.75 * 1 + 0.25 * 0.5) ** 2)


@pytest.mark.parametrize(("anneal_over", "rates"), [(0, [1.0, 0.525, 0.05, 0.05]), (24, [1.0, 0.05, 0.05, 0.05])])
def test_the_step_size_falls_to_a_twentieth(anneal_over, rates):
    """Adam's first step moves every weight by the step size; a constant gradient goes on like that."""
    transform = optimiser(agent(steps=48, anneal_over=anneal_over, learning_rate=1.0, weight_decay=0.0))
    state = transform.init(jnp.zeros(()))
    seen = []
    for _ in range(13):
        update, state = transform.update(jnp.ones(()), state, jnp.zeros(()))
        seen.append(-float(update))
    np.testing.assert_allclose(seen[::4], rates, rtol=1e-3)


@pytest.mark.parametrize("name", ["tic_tac_toe", "connect_four"])
def test_a_turned_board_keeps_its_moves_and_targets(name):
    """What is legal, and weights that count the stones which a move would meet, can be read off the turned board."""
    game = make(name)
    columns = 3 if name == "tic_tac_toe" else 7
    _, position = from_moves(game, "0 1 5" if name == "tic_tac_toe" else "0 0 0 0 0 0 2 3")
    board = np.asarray(position.observation)
    stones = board.sum(-1).reshape(-1)[: len(position.legal)] if name == "tic_tac_toe" else board.sum((0, 2))
    many = 64
    repeat = lambda x: jnp.repeat(jnp.asarray(x)[None], many, axis=0)  # noqa: E731
    turned, legal, weights = random_symmetry(
        game, jax.random.key(0), repeat(board), repeat(position.legal), repeat(stones.astype(np.float32))
    )
    kinds = {np.asarray(x).tobytes() for x in turned}
    assert len(kinds) == {"tic_tac_toe": 8, "connect_four": 2}[name]
    for one, may, weight in zip(*map(np.asarray, (turned, legal, weights)), strict=True):
        if name == "tic_tac_toe":
            np.testing.assert_array_equal(weight, one.sum(-1).reshape(-1))
            np.testing.assert_array_equal(may, one.sum(-1).reshape(-1) == 0)
        else:
            np.testing.assert_array_equal(weight, one.sum((0, 2)))
            np.testing.assert_array_equal(may, one.sum(-1)[0] == 0)
        assert one.shape[1] == columns


def test_patches_are_the_neighbours():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
    found = np.asarray(patches(jnp.asarray(x))).reshape(2, 4, 5, 3, 3, 3)
    for row in range(4):
        for column in range(5):
            for i in range(3):
                for j in range(3):
                    r, c = row + i - 1, column + j - 1
                    inside = 0 <= r < 4 and 0 <= c < 5
                    expected = x[:, r, c] if inside else np.zeros((2, 3))
                    np.testing.assert_array_equal(found[:, row, column, i, j], expected)


@pytest.mark.parametrize("conv", [False, True])
def test_the_network_takes_any_batch_and_starts_undecided(conv):
    net = BoardNetwork((6, 7, 2), 7, conv=conv, width=8, num_blocks=2, head_width=16, key=jax.random.key(0))
    boards = jax.random.bernoulli(jax.random.key(1), 0.3, (3, 5, 6, 7, 2))
    logits, value = net(boards)
    assert logits.shape == (3, 5, 7)
    assert value.shape == (3, 5)
    assert float(jnp.abs(logits).max()) < 0.5
    assert float(jnp.abs(value).max()) < 0.5
    one_logits, one_value = net(boards[0, 0])
    np.testing.assert_allclose(one_logits, logits[0, 0], atol=1e-5)
    np.testing.assert_allclose(one_value, value[0, 0], atol=1e-5)


def test_training_continues_bit_for_bit_however_it_is_cut_and_saved(tmp_path):
    agents = Agents(agent(random_moves=1), [3, 4], {})
    whole, _ = agents.advance({}, agents.start(), np.int32(6))
    part, _ = agents.advance({}, agents.start(), np.int32(2))
    path = checkpoint.save(tmp_path, 24, part, {"steps": 24, "seconds": 0.0})
    loaded, _ = checkpoint.load(path, agents.shapes())
    loaded = jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), loaded, agents.start())
    rest, _ = agents.advance({}, loaded, np.int32(4))
    assert_equal(rest, whole)
    assert np.asarray(whole.replay.added).tolist() == [72, 72]


@pytest.mark.parametrize("options", [{"search_by": "gumbel"}, {"search_by": "puct", "sampled_moves": 2}])
def test_playing_is_deterministic_legal_and_counted(options):
    az = agent(**options)
    state = jax.jit(az.init)(jax.random.key(0))
    games = [from_moves(az.env, moves) for moves in ("", "4", "0 1 2 4 3 5 7")]
    states, positions = jax.tree.map(lambda *x: jnp.stack(x), *games)
    search = jax.jit(lambda key: az.search(state, states, positions, key, 16))
    found, again = search(jax.random.key(1)), search(jax.random.key(2))
    np.testing.assert_array_equal(found.action, again.action)
    np.testing.assert_array_equal(found.visits.sum(-1), [16, 16, 16])
    assert np.asarray(positions.legal)[np.arange(3), found.action].all()


@pytest.mark.parametrize(
    ("env", "options", "words"),
    [
        ("tic_tac_toe", {"num_simulations": 0}, "num_simulations is 0; it must be at least 1"),
        ("tic_tac_toe", {"search_by": "luck"}, "choose one of: gumbel, puct"),
        ("tic_tac_toe", {"capacity": 100}, "it must hold one iteration of 512 moves"),
        ("tic_tac_toe", {"network": "tree"}, "choose one of: conv, mlp"),
        ("CartPole-v1", {}, "this world is none"),
    ],
)
def test_bad_requests_are_told_in_a_line(env, options, words):
    with pytest.raises(UsageError, match=words) as error:
        configure("alphazero", env, 1, 0, options)
    assert "\n" not in str(error.value)


def test_with_minutes_alone_training_has_no_other_end(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "_train", lambda run, *arguments, **options: run.config)
    config = train.train("alphazero", "tic_tac_toe", run=tmp_path / "a", minutes=5, **TINY)
    assert config["minutes"] == 5
    assert config["steps"] > 0.99 * train.ENDLESS
    config = train.train("alphazero", "tic_tac_toe", run=tmp_path / "b", minutes=5, steps=120, **TINY)
    assert config["steps"] == 120


def test_numbers_are_swept_in_one_program():
    pairs = {"noise": [0.1, 0.5], "learning_rate": [1e-3, 1e-2], "exploration": [1.0, 2.0], "average_rate": [0.1, 1.0]}
    agents = Agents(agent(search_by="puct"), [0, 0], {name: np.array(pair) for name, pair in pairs.items()})
    state = jax.eval_shape(agents.start)
    after, _ = jax.eval_shape(agents.advance, agents.swept, state, np.int32(2))
    assert after.net.first.weight.shape == (2, 18, 8)
