"""MuZero: targets by brute force, gradients by hand; tests/learning has the probes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.planning import muzero
from puzzlebox.algorithms.planning.muzero import MuZero
from puzzlebox.algorithms.planning.symmetry import random_symmetry
from puzzlebox.algorithms.planning.targets import Step, targets
from puzzlebox.envs import make, probes
from puzzlebox.errors import UsageError
from puzzlebox.nets.muzero import BoardModel, WorldModel, scale, scale_gradient, unroll


def window(rows, **columns):
    """Steps of one world with zeros in what is not given, leaves ``[rows, 1]``."""
    zeros = dict.fromkeys(Step._fields, np.zeros(rows)) | {"turn": np.ones(rows), "chosen": np.ones(rows)}
    truths = ("terminated", "truncated", "chosen")
    columns = {name: np.asarray(column, float) for name, column in (zeros | columns).items()}
    return Step(**{n: jnp.asarray(c[:, None], bool if n in truths else jnp.float32) for n, c in columns.items()})


def made(steps, td_steps, unroll_steps, discount=0.9):
    policy = jnp.zeros((unroll_steps + 1, 1, 2))
    found = targets(steps, policy, discount, td_steps, unroll_steps)
    return jax.tree.map(lambda x: np.asarray(x[:, 0]), found)


def brute(steps, discount, n, k):
    """The value target of row k, one reward after the other, from the view of the player who moves there."""
    total, sign = 0.0, 1.0
    for i in range(n):
        row = k + i
        total += discount**i * sign * steps.reward[row]
        sign *= steps.turn[row]
        if steps.terminated[row]:
            return total
        if steps.truncated[row]:
            return total + discount ** (i + 1) * sign * steps.next_value[row]
    return total + discount**n * sign * steps.value[k + n]


@pytest.mark.parametrize("td_steps", [1, 3, 6])
def test_targets_against_a_loop(td_steps):
    rng, unroll_steps, count = np.random.default_rng(td_steps), 5, 60
    rows = unroll_steps + td_steps + 1
    ends, kinds = rng.random((rows, count)) < 0.2, rng.random((rows, count)) < 0.5
    numbers = {name: rng.normal(size=(rows, count)) for name in ("reward", "value", "next_value")}
    steps = Step(
        **numbers,
        **dict.fromkeys(("observation", "legal", "action", "policy"), np.zeros((rows, count))),
        terminated=ends & kinds,
        truncated=ends & ~kinds,
        turn=rng.choice([-1.0, 1.0], (rows, count)),
        chosen=rng.random((rows, count)) < 0.8,
    )
    policy = jnp.zeros((unroll_steps + 1, count, 2))
    found = jax.tree.map(np.asarray, targets(jax.tree.map(jnp.asarray, steps), policy, 0.9, td_steps, unroll_steps))
    for n in range(count):
        one = jax.tree.map(lambda x, n=n: x[:, n], steps)
        end = int(np.argmax(ends[:, n])) if ends[:, n].any() else rows  # the first row that ends an episode
        dies = end < rows and kinds[end, n]
        for k in range(unroll_steps + 1):
            playing = k <= end
            assert found.playing[k, n] == playing
            assert found.known[k, n] == (playing or dies)
            assert found.valued[k, n] == (one.chosen[k] if playing else dies)
            truth = brute(one, 0.9, td_steps, k) if playing else 0.0
            np.testing.assert_allclose(found.value[k, n], truth, atol=1e-5)
            if k < unroll_steps:
                np.testing.assert_allclose(found.reward[k, n], one.reward[k] if playing else 0.0, rtol=1e-6)


def test_termination_pays_nothing_more_and_truncation_bootstraps():
    columns = {"reward": [1, 1, 1, 1, 1, 1], "value": [5, 5, 5, 5, 5, 5], "next_value": [7, 7, 7, 7, 7, 7]}
    died = made(window(6, terminated=[0, 1, 0, 0, 0, 0], **columns), 3, 2, discount=0.5)
    np.testing.assert_allclose(died.value, [1 + 0.5, 1, 0])
    cut = made(window(6, truncated=[0, 1, 0, 0, 0, 0], **columns), 3, 2, discount=0.5)
    np.testing.assert_allclose(cut.value, [1 + 0.5 + 0.25 * 7, 1 + 0.5 * 7, 0])
    assert (died.known.tolist(), cut.known.tolist()) == ([True, True, True], [True, True, False])
    np.testing.assert_array_equal(died.reward, [1, 1])
    whole = made(window(6, **columns), 3, 2, discount=0.5)
    np.testing.assert_allclose(whole.value, [1 + 0.5 + 0.25 + 0.125 * 5] * 3)


def test_two_players_see_the_same_game_with_opposite_signs():
    """Three moves, the third wins; then another game, which the first player's second move loses by a rule."""
    steps = window(
        8,
        turn=[-1] * 8,
        reward=[0, 0, 1, 0, 0, -1, 0, 0],
        terminated=[0, 0, 1, 0, 0, 1, 0, 0],
        value=[9] * 8,
    )
    found = made(steps, 5, 2, discount=1.0)
    np.testing.assert_array_equal(found.value, [1, -1, 1])
    later = made(jax.tree.map(lambda x: jnp.concatenate([x[3:], x[:3]]), steps), 5, 2, discount=1.0)
    np.testing.assert_array_equal(later.value, [-1, 1, -1])


def test_another_episode_changes_no_target():
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=9) for name in ("reward", "value", "next_value")}
    for end in ("terminated", "truncated"):
        ended = {end: np.arange(9) == 2}
        first = made(window(9, **columns, **ended), 3, 5)
        foreign = {name: np.where(np.arange(9) > 2, 1e6, column) for name, column in columns.items()}
        second = made(window(9, **foreign, **ended), 3, 5)
        jax.tree.map(np.testing.assert_array_equal, first, second)


def test_states_are_scaled_and_half_the_gradient_passes():
    x = jnp.array([[1.0, 3.0, 2.0], [-5.0, -5.0, -5.0]])
    np.testing.assert_allclose(scale(x), [[0, 1, 0.5], [0, 0, 0]])
    value, gradient = jax.value_and_grad(lambda x: scale_gradient(x, 0.5) ** 2)(3.0)
    assert (float(value), float(gradient)) == (9.0, 3.0)


@pytest.fixture(scope="module", params=["mlp", "conv"])
def net(request):
    """Networks whose weights are all at work: those that start at zero too."""
    if request.param == "mlp":
        return WorldModel(3, 4, (8,), 2, 5, key=jax.random.key(0))
    net = BoardModel((3, 4, 2), 2, 5, width=4, num_blocks=2, head_width=8, key=jax.random.key(0))
    return jax.tree.map(lambda w: w + 0.1 * jax.random.normal(jax.random.key(1), w.shape), net)


def seen_by(net, count):
    return jax.random.normal(jax.random.key(1), (count, 3) if isinstance(net, WorldModel) else (count, 3, 4, 2))


def test_unrolling_is_one_step_after_another(net):
    x, action = seen_by(net, 6), jnp.array([[0, 1, 0, 1, 0, 1], [1, 1, 0, 0, 1, 0]])
    policies, values, rewards = unroll(net, x, action)
    assert (policies.shape, values.shape, rewards.shape) == ((3, 6, 2), (3, 6, 5), (2, 6, 5))
    state = net.represent(x)
    for k in range(3):
        policy, value = net.predict(state)
        np.testing.assert_allclose(policies[k], policy, atol=1e-6)
        np.testing.assert_allclose(values[k], value, atol=1e-6)
        if k < 2:
            state, reward = net.advance(state, action[k])
            np.testing.assert_allclose(rewards[k], reward, atol=1e-6)
        assert (float(state.min()), float(state.max())) == (0.0, 1.0)


def test_every_unrolled_step_halves_the_gradient_that_reaches_the_first_state(net):
    """Held against the chain of Jacobians without halving: the second reward's gradient is a quarter of it."""
    x, action = seen_by(net, 1), jnp.array([[0], [1]])

    def plain(x):
        state, _ = net.advance(net.represent(x), action[0])
        return net.advance(state, action[1])[1].sum()

    halved = jax.grad(lambda x: unroll(net, x, action)[2][1].sum())(x)
    np.testing.assert_allclose(halved, jax.grad(plain)(x) / 4, rtol=1e-4, atol=1e-8)


def test_an_action_acts_where_it_adds_to_the_board():
    """Behind it is one 3×3 convolution: what is added to one square changes that square and its neighbours alone."""
    net = BoardModel((7, 7, 1), 2, 5, width=4, num_blocks=1, head_width=8, key=jax.random.key(0))
    net = jax.tree.map(lambda w: w + 0.1 * jax.random.normal(jax.random.key(1), w.shape), net)
    acted = jnp.zeros((2, 7, 7, 4)).at[1, 0, 0].set(5.0)
    net = eqx.tree_at(lambda net: net.acted, net, acted)
    state = net.represent(jax.random.normal(jax.random.key(2), (1, 7, 7, 1)))
    block = net.follow[0]
    change = np.abs(block(state, net.acted[jnp.array([1])]) - block(state, net.acted[jnp.array([0])])).max(-1)[0]
    assert change[:2, :2].max() > 0
    change[:2, :2] = 0
    assert change.max() == 0


def test_bad_requests():
    env = probes.Matching()
    with pytest.raises(UsageError, match=r"network is conv, which needs a board .* take mlp"):
        MuZero(make("CartPole-v1"), network="conv")
    with pytest.raises(UsageError, match="capacity is 600"):
        MuZero(env, capacity=600)
    with pytest.raises(UsageError, match="needs discrete actions"):
        MuZero(make("Pendulum-v1"))
    with pytest.raises(UsageError, match="num_simulations is 0; it must be at least 1"):
        MuZero(env, num_simulations=0)


def test_a_turned_game_is_the_game_played_on_a_turned_board():
    """Games of random moves, turned with their moves, are played again from the turned board by the rules."""
    game, count, moves = make("tic_tac_toe"), 64, 5
    rng, step = np.random.default_rng(0), jax.jit(jax.vmap(game.step, in_axes=(0, 0, None)))
    action = jnp.asarray(rng.permuted(np.tile(np.arange(9), (count, 1)), axis=1)[:, :moves].T, jnp.int32)
    start = jax.vmap(game.reset)(jax.random.split(jax.random.key(0), count))[0]

    def play(action):
        state, seen = start, []
        for move in action:
            state, position = step(state, move, jax.random.key(0))
            seen.append(position.observation)
        return jnp.stack(seen)

    moved = jax.nn.one_hot(action, 9)
    turned, moved = random_symmetry(game, jax.random.key(1), play(action), moved)
    assert len({np.asarray(x).tobytes() for x in moved.argmax(-1)[0]}) > 1
    assert not (moved.argmax(-1) == action).all()
    np.testing.assert_array_equal(play(moved.argmax(-1).astype(jnp.int32)), turned)


@pytest.mark.parametrize(
    ("world", "wished", "turned"), [("tic_tac_toe", True, 1), ("tic_tac_toe", False, 0), ("", 1, 0)]
)
def test_boards_are_turned_where_there_are_some_and_it_is_wished(world, wished, turned, monkeypatch):
    called = []
    monkeypatch.setattr(
        muzero, "random_symmetry", lambda game, *arguments: called.append(game) or random_symmetry(game, *arguments)
    )
    agent = MuZero(make(world) if world else probes.Matching(), symmetries=bool(wished), width=4, hidden=(8,))
    jax.eval_shape(lambda key: agent.step(agent.init(key)), jax.random.key(0))
    assert len(called) == turned
