"""Returns and advantages: from rewards and values to the numbers that a policy or a value function learns from.

Sources: Sutton & Barto (2018), chapters 3, 7 and 12; Schulman et al. 2016 (GAE); Espeholt et al. 2018 (V-trace).

Every function takes arrays ``[T, ...]``: time first, any axes behind it are parallel worlds. ``next_value`` is the
value of the true next observation s_{t+1}, never of the one after a reset. For row t

- ``terminated``: nothing follows, so nothing is bootstrapped;
- ``truncated``, or the last row: the future is ``next_value``, and nothing leaks in from the next episode.

Departures: the papers write one endless episode and one value array; here the rows may hold many episodes, and
``next_value[t]`` stands where they write V(s_{t+1}). Results are targets: no gradient flows through them.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.types import Array


class VTrace(NamedTuple):
    """``target`` is what the value function learns, ``advantage`` what the policy learns; both ``[T, ...]``."""

    target: Array
    advantage: Array


def discounted_returns(
    reward: Array, next_value: ArrayLike, terminated: Array, truncated: Array, discount: ArrayLike
) -> Array:
    """The Monte Carlo return of every row: the rewards to the episode's end, and the value where it was cut off.

    G_t = r_t + γ G_{t+1};  at a truncation and at the last row G_t = r_t + γ V(s_{t+1});  at a termination G_t = r_t.

    Shapes: all ``[T, ...]``; ``next_value`` may be 0.0 where there is no value function, but then the return of an
    episode that was cut off is too small. Source: Sutton & Barto (2018), eq. 3.9.
    """
    return lambda_returns(reward, next_value, terminated, truncated, discount, 1.0)


def n_step_returns(
    reward: Array, next_value: ArrayLike, terminated: Array, truncated: Array, discount: ArrayLike, n: int
) -> Array:
    """The return of n rewards and then the value.

    G_t = r_t + γ r_{t+1} + … + γ^{n-1} r_{t+n-1} + γ^n V(s_{t+n}), shorter where the episode or the data end earlier.

    Shapes: all ``[T, ...]``; ``n`` is at least 1. Source: Sutton & Barto (2018), eq. 7.1.
    """
    live, follows, tail = _edges(reward, next_value, terminated, truncated, discount)
    one_step = live + tail

    def one_more(_: int, returns: Array) -> Array:
        later = jnp.concatenate([returns[1:], jnp.zeros_like(returns[:1])])
        return jnp.where(follows, live + discount * later, one_step)

    return jax.lax.fori_loop(1, n, one_more, one_step)


def window_returns(reward: Array, ended: Array, usable: Array, discount: ArrayLike) -> tuple[Array, Array, Array]:
    """n-step returns of windows of n rows that were drawn from a replay, without the value behind them.

    G = r_0 + γ r_1 + … + γ^{m−1} r_{m−1}, where m is the number of rows that count: up to n, to the first row that
    ``ended`` its episode (which still counts), and to the row before the first that is not ``usable``.

    Shapes: ``[n, ...]`` each -> G, γ^m and m (int32), ``[...]``; m may be 0. The target is G + γ^m V(s_m), or G if the
    last row terminated. Source: Sutton & Barto (2018), eq. 7.1.
    """
    earlier_end = jnp.cumsum(ended, axis=0) - ended
    earlier_gap = jnp.cumsum(~usable, axis=0)
    counts = (earlier_end == 0) & (earlier_gap == 0)
    factor = jnp.where(counts, jnp.asarray(discount, reward.dtype), 1.0)
    weight = jnp.concatenate([jnp.ones_like(factor[:1]), jnp.cumprod(factor, axis=0)[:-1]])
    total = jnp.where(counts, weight * reward, 0.0).sum(axis=0)
    return total, jnp.prod(factor, axis=0), counts.sum(axis=0, dtype=jnp.int32)


def lambda_returns(
    reward: Array,
    next_value: ArrayLike,
    terminated: Array,
    truncated: Array,
    discount: ArrayLike,
    trace_decay: ArrayLike,
) -> Array:
    """The λ-return: the average of all n-step returns, the n-step one weighted by (1 − λ) λ^{n-1}.

    G_t = r_t + γ ((1 − λ) V(s_{t+1}) + λ G_{t+1}).

    Shapes: all ``[T, ...]``; ``trace_decay`` is λ. Source: Sutton & Barto (2018), eq. 12.2 in its recursive form.
    """
    reward, follows, tail = _edges(reward, next_value, terminated, truncated, discount)
    decay = jnp.where(follows, jnp.asarray(trace_decay), 0.0)
    return _accumulate(reward + (1.0 - decay) * tail, jnp.asarray(discount) * decay)


def gae(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    discount: ArrayLike,
    gae_lambda: ArrayLike,
) -> Array:
    """The generalised advantage estimate; ``gae(...) + value`` is the target of the value function.

    δ_t = r_t + γ V(s_{t+1}) − V(s_t);  A_t = δ_t + γ λ A_{t+1}, the recursion cut at every episode's end.

    Shapes: all ``[T, ...]``. Source: Schulman et al. 2016, "High-dimensional continuous control using generalized
    advantage estimation", eq. 16.
    """
    reward, follows, tail = _edges(reward, next_value, terminated, truncated, discount)
    error = reward + tail - jax.lax.stop_gradient(value)
    return _accumulate(error, jnp.where(follows, discount * jnp.asarray(gae_lambda), 0.0))


def vtrace(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    log_ratio: Array,
    discount: ArrayLike,
    trace_decay: ArrayLike = 1.0,
    rho_clip: float = 1.0,
    c_clip: float = 1.0,
) -> VTrace:
    """Value targets and policy advantages from data of another policy μ; on-policy they are the λ-return's.

    δ_t = ρ_t (r_t + γ V(s_{t+1}) − V(s_t));  v_t = V(s_t) + δ_t + γ c_t (v_{t+1} − V(s_{t+1}));
    advantage_t = ρ_t (r_t + γ v_{t+1} − V(s_t)), with ρ_t = min(ρ̄, π/μ) and c_t = λ min(c̄, π/μ).

    Shapes: all ``[T, ...]``; ``log_ratio`` is log π(a|s) − log μ(a|s), ``trace_decay`` is λ. Source: Espeholt et al.
    2018, "IMPALA", eq. 1 and section 4.2, with the λ of its remark 2.
    """
    ratio = jnp.exp(jax.lax.stop_gradient(log_ratio))
    rho = jnp.minimum(rho_clip, ratio)
    c = trace_decay * jnp.minimum(c_clip, ratio)
    reward, follows, tail = _edges(reward, next_value, terminated, truncated, discount)
    value = jax.lax.stop_gradient(value)
    error = reward + tail - value
    correction = _accumulate(rho * error, jnp.where(follows, discount * c, 0.0))  # v_t − V(s_t)
    later = jnp.concatenate([correction[1:], jnp.zeros_like(correction[:1])])
    return VTrace(value + correction, rho * (error + jnp.where(follows, discount * later, 0.0)))


def _edges(
    reward: Array, next_value: ArrayLike, terminated: Array, truncated: Array, discount: ArrayLike
) -> tuple[Array, Array, Array]:
    """The reward, where row t+1 continues row t's episode, and γ V(s_{t+1}) with 0 after a termination."""
    reward, next_value = jax.lax.stop_gradient((jnp.asarray(reward), jnp.asarray(next_value)))
    last = jnp.arange(reward.shape[0]) == reward.shape[0] - 1
    follows = ~(jnp.asarray(terminated, bool) | jnp.asarray(truncated, bool) | _column(last, reward.ndim))
    return reward, follows, jnp.where(terminated, 0.0, discount * next_value)


def _column(row: Array, ndim: int) -> Array:
    return row.reshape(row.shape + (1,) * (ndim - 1))


def _accumulate(term: Array, factor: Array) -> Array:
    """x_t = term_t + factor_t x_{t+1}, backwards from x_T = 0; the carry is one array."""

    def step(later: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        x = row[0] + row[1] * later
        return x, x

    return jax.lax.scan(step, jnp.zeros_like(term[0]), (term, factor), reverse=True)[1]
