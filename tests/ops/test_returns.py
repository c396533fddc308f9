import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from puzzlebox.ops import returns

T = 12


def episodes(terminated, truncated):
    """The rows of each episode, in order; the last one may be cut off by the end of the data."""
    found, rows = [], []
    for t in range(len(terminated)):
        rows.append(t)
        if terminated[t] or truncated[t] or t == len(terminated) - 1:
            found.append(rows)
            rows = []
    return found


def brute_n_step(reward, next_value, terminated, truncated, discount, n):
    """G_t^(n) summed straight from its definition, one episode and one row at a time."""
    result = np.zeros(len(reward))
    for rows in episodes(terminated, truncated):
        for i, t in enumerate(rows):
            window = rows[i : i + n]
            result[t] = sum(discount**k * reward[s] for k, s in enumerate(window))
            if not terminated[window[-1]]:
                result[t] += discount ** len(window) * next_value[window[-1]]
    return result


def brute_lambda(reward, next_value, terminated, truncated, discount, trace_decay):
    """(1 − λ) Σ λ^{n−1} G^(n), all the weight that is left on the longest return of the episode."""
    result = np.zeros(len(reward))
    for rows in episodes(terminated, truncated):
        for i, t in enumerate(rows):
            longest = len(rows) - i
            for n in range(1, longest + 1):
                weight = trace_decay ** (n - 1) * (1.0 if n == longest else 1 - trace_decay)
                result[t] += weight * brute_n_step(reward, next_value, terminated, truncated, discount, n)[t]
    return result


def brute_gae(reward, value, next_value, terminated, truncated, discount, gae_lambda):
    """Σ_l (γλ)^l δ_{t+l} within the episode."""
    error = reward + discount * np.where(terminated, 0, next_value) - value
    result = np.zeros(len(reward))
    for rows in episodes(terminated, truncated):
        for i, t in enumerate(rows):
            result[t] = sum((discount * gae_lambda) ** k * error[s] for k, s in enumerate(rows[i:]))
    return result


def brute_vtrace(reward, value, next_value, terminated, truncated, log_ratio, discount, rho_clip, c_clip):
    """IMPALA, equation 1: v_s = V(s) + Σ_t γ^{t−s} (Π c_i) δ_t V, within the episode."""
    rho = np.minimum(rho_clip, np.exp(log_ratio))
    c = np.minimum(c_clip, np.exp(log_ratio))
    error = rho * (reward + discount * np.where(terminated, 0, next_value) - value)
    result = value.copy()
    for rows in episodes(terminated, truncated):
        for i, t in enumerate(rows):
            for k, s in enumerate(rows[i:]):
                result[t] += discount**k * np.prod(c[rows[i : i + k]]) * error[s]
    return result


def data(seed, t=T):
    """Random rows; inside an episode next_value[t] is value[t + 1], as it is for a value function of the state."""
    generator = np.random.default_rng(seed)
    reward, value, next_value = generator.normal(size=(3, t))
    terminated = generator.random(t) < 0.2
    truncated = generator.random(t) < 0.2
    inside = ~(terminated | truncated)[:-1]
    next_value[:-1][inside] = value[1:][inside]
    return reward, value, next_value, terminated, truncated


random_data = hypothesis.given(
    seed=st.integers(0, 10**6), discount=st.floats(0, 1), trace_decay=st.floats(0, 1), n=st.integers(1, T + 3)
)
few = hypothesis.settings(max_examples=40, deadline=None)
compiled = {
    name: jax.jit(getattr(returns, name))
    for name in ("n_step_returns", "lambda_returns", "gae", "vtrace", "discounted_returns")
}


def test_gae_by_hand():
    # γ = 0.5, λ = 0.5; row 1 is truncated, row 2 terminated, row 3 is where the data end.
    reward = jnp.array([1.0, 2.0, 3.0, 4.0])
    value = jnp.array([1.0, 2.0, 3.0, 1.0])
    next_value = jnp.array([2.0, 8.0, 100.0, 6.0])
    terminated = jnp.array([False, False, True, False])
    truncated = jnp.array([False, True, False, False])
    # δ = [1 + 1 − 1, 2 + 4 − 2, 3 + 0 − 3, 4 + 3 − 1] = [1, 4, 0, 6];  A_0 = 1 + 0.25 · 4 = 2, the others are cut.
    advantage = returns.gae(reward, value, next_value, terminated, truncated, 0.5, 0.5)
    np.testing.assert_allclose(advantage, [2.0, 4.0, 0.0, 6.0])


def test_returns_by_hand():
    # γ = 0.5; rows 0–2 are one episode that terminates, row 3 belongs to the next one, cut off by the end of the data.
    reward = jnp.array([1.0, 2.0, 4.0, 8.0])
    next_value = jnp.array([10.0, 20.0, 40.0, 6.0])
    terminated = jnp.array([False, False, True, False])
    truncated = jnp.zeros(4, bool)
    ends = (terminated, truncated, 0.5)
    # 4;  2 + 2 = 4;  1 + 2 = 3;  8 + 3 = 11
    np.testing.assert_allclose(returns.discounted_returns(reward, next_value, *ends), [3.0, 4.0, 4.0, 11.0])
    # two steps: 1 + 1 + 20/4 = 7;  2 + 4/2 = 4;  4;  11
    np.testing.assert_allclose(returns.n_step_returns(reward, next_value, *ends, 2), [7.0, 4.0, 4.0, 11.0])
    # λ = ½: 4;  2 + ½(½·20 + ½·4) = 8;  1 + ½(½·10 + ½·8) = 5.5;  11
    np.testing.assert_allclose(returns.lambda_returns(reward, next_value, *ends, 0.5), [5.5, 8.0, 4.0, 11.0])


def test_vtrace_by_hand():
    # γ = 0.5; ratios 2 and ½, so ρ = c = [1, ½]; no episode ends.
    reward, value, next_value = jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0]), jnp.array([4.0, 8.0])
    no = jnp.zeros(2, bool)
    result = returns.vtrace(reward, value, next_value, no, no, jnp.log(jnp.array([2.0, 0.5])), 0.5)
    # δ_1 = ½ (2 + 4 − 4) = 1, v_1 = 5;  δ_0 = 1 + 2 − 1 = 2, v_0 = 1 + 2 + ½·1·(5 − 4) = 3.5
    np.testing.assert_allclose(result.target, [3.5, 5.0])
    # advantage_0 = 1 (1 + ½·5 − 1) = 2.5;  advantage_1 = ½ (2 + ½·8 − 4) = 1
    np.testing.assert_allclose(result.advantage, [2.5, 1.0])


@few
@random_data
def test_returns_equal_the_sums_they_stand_for(seed, discount, trace_decay, n):
    reward, value, next_value, terminated, truncated = data(seed)
    # Nothing in these sums needs next_value to be the next row's value.
    next_value = np.random.default_rng(seed + 1).normal(size=T)
    args = (reward, next_value, terminated, truncated, discount)
    close = {"rtol": 2e-4, "atol": 2e-5}
    np.testing.assert_allclose(compiled["n_step_returns"](*args, n), brute_n_step(*args, n), **close)
    np.testing.assert_allclose(
        compiled["lambda_returns"](*args, trace_decay), brute_lambda(*args, trace_decay), **close
    )
    np.testing.assert_allclose(compiled["discounted_returns"](*args), brute_n_step(*args, T), **close)
    args = (reward, value, next_value, terminated, truncated, discount, trace_decay)
    np.testing.assert_allclose(compiled["gae"](*args), brute_gae(*args), **close)


@few
@random_data
def test_vtrace_equals_equation_one(seed, discount, trace_decay, n):
    rows = data(seed)
    log_ratio = np.random.default_rng(seed + 1).normal(size=T)
    result = compiled["vtrace"](*rows, log_ratio, discount, 1.0, 1.5, 0.5 + trace_decay)
    expected = brute_vtrace(*rows, log_ratio, discount, 1.5, 0.5 + trace_decay)
    np.testing.assert_allclose(result.target, expected, rtol=2e-4, atol=2e-5)


@few
@random_data
def test_laws(seed, discount, trace_decay, n):
    reward, value, next_value, terminated, truncated = rows = data(seed)
    targets = (reward, next_value, terminated, truncated, discount)
    close = {"rtol": 2e-4, "atol": 2e-5}
    # λ = 0 is the TD error, λ = 1 the return minus the value, and GAE is the λ-return minus the value.
    error = reward + discount * np.where(terminated, 0, next_value) - value
    np.testing.assert_allclose(compiled["gae"](*rows, discount, 0.0), error, **close)
    np.testing.assert_allclose(
        compiled["gae"](*rows, discount, 1.0) + value, compiled["discounted_returns"](*targets), **close
    )
    lambda_return = compiled["lambda_returns"](*targets, trace_decay)
    np.testing.assert_allclose(compiled["gae"](*rows, discount, trace_decay) + value, lambda_return, **close)
    # V-trace on-policy is the λ-return; its advantage is one reward and then the λ-return.
    result = compiled["vtrace"](*rows, np.zeros(T), discount, trace_decay)
    np.testing.assert_allclose(result.target, lambda_return, **close)
    follows = ~(terminated | truncated | (np.arange(T) == T - 1))
    later = np.where(follows, np.roll(lambda_return, -1), np.where(terminated, 0, next_value))
    np.testing.assert_allclose(result.advantage, reward + discount * later - value, **close)


def test_nothing_leaks_across_an_episode_boundary():
    reward, value, next_value, _, _ = data(0)
    never = np.zeros(T, bool)
    for name, extra in (("gae", (0.9, 0.8)), ("vtrace", (np.zeros(T), 0.9))):
        for ends in ((np.arange(T) == 5, never), (never, np.arange(T) == 5)):
            before = compiled[name](reward, value, next_value, *ends, *extra)
            changed = np.where(np.arange(T) > 5, 100.0, 0.0)
            after = compiled[name](reward + changed, value + changed, next_value + changed, *ends, *extra)
            for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
                np.testing.assert_array_equal(x[:6], y[:6])


def test_termination_ignores_the_next_value_and_truncation_uses_it():
    one = jnp.ones(1)
    yes, no = jnp.ones(1, bool), jnp.zeros(1, bool)
    for terminated, truncated, expected in ((yes, no, 1.0), (no, yes, 6.0), (no, no, 6.0), (yes, yes, 1.0)):
        args = (one, 10 * one, terminated, truncated, 0.5)
        assert float(returns.discounted_returns(*args)[0]) == expected
        assert float(returns.n_step_returns(*args, 3)[0]) == expected
        assert float(returns.gae(one, 0 * one, 10 * one, terminated, truncated, 0.5, 0.9)[0]) == expected


def test_a_termination_keeps_even_an_infinite_next_value_out():
    yes, no = jnp.ones(1, bool), jnp.zeros(1, bool)
    bad = jnp.full(1, jnp.nan)
    assert float(returns.gae(jnp.ones(1), jnp.ones(1), bad, yes, no, 0.9, 0.9)[0]) == 0.0


@pytest.mark.parametrize("name", ["gae", "vtrace", "lambda_returns", "n_step_returns"])
def test_trailing_axes_are_independent_worlds(name):
    columns = [data(seed) for seed in range(6)]
    extra = {"gae": (0.9, 0.7), "vtrace": (0.9, 0.7), "lambda_returns": (0.9, 0.7), "n_step_returns": (0.9, 3)}[name]

    def call(reward, value, next_value, terminated, truncated):
        if name == "vtrace":
            return returns.vtrace(reward, value, next_value, terminated, truncated, 0.1 * value, *extra)
        head = (reward, value) if name == "gae" else (reward,)
        return getattr(returns, name)(*head, next_value, terminated, truncated, *extra)

    together = call(*(np.stack(column, axis=-1).reshape(T, 2, 3) for column in zip(*columns, strict=True)))
    alone = [call(*column) for column in columns]
    for i, leaf in enumerate(jax.tree.leaves(together)):
        np.testing.assert_allclose(leaf.reshape(T, 6)[:, 4], jax.tree.leaves(alone[4])[i], rtol=1e-5, atol=1e-6)


def test_discount_and_lambda_can_be_swept_and_no_gradient_flows():
    rows = data(3)
    swept = jax.vmap(lambda g, lam: returns.gae(*rows, g, lam))(jnp.array([0.5, 0.9]), jnp.array([0.1, 0.8]))
    np.testing.assert_allclose(swept[1], returns.gae(*rows, 0.9, 0.8), rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda value: returns.gae(rows[0], value, *rows[2:], 0.9, 0.8).sum())(jnp.asarray(rows[1]))
    np.testing.assert_array_equal(gradient, 0.0)


def brute_window(reward, ended, usable, discount):
    """G, γ^m and m straight from the definition, one row after the other."""
    total, power = 0.0, 1.0
    for count, (r, end, there) in enumerate(zip(reward, ended, usable, strict=True)):
        if not there:
            return total, power, count
        total, power = total + power * r, power * discount
        if end:
            return total, power, count + 1
    return total, power, len(reward)


def test_window_returns_are_their_definition():
    generator = np.random.default_rng(0)
    reward = generator.normal(size=(4, 200)).astype(np.float32)
    ended, usable = generator.random((4, 200)) < 0.25, generator.random((4, 200)) < 0.8
    ours = returns.window_returns(jnp.asarray(reward), jnp.asarray(ended), jnp.asarray(usable), 0.5)
    expected = np.array([brute_window(*columns, 0.5) for columns in zip(reward.T, ended.T, usable.T, strict=True)])
    for one, other in zip(ours, expected.T, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    one_step = returns.window_returns(jnp.ones((1, 1)), jnp.zeros((1, 1), bool), jnp.ones((1, 1), bool), 0.99)
    assert one_step[1][0] == np.float32(0.99)
