"""Value losses and one-step targets, element by element: the caller decides how to average.

Sources: Sutton & Barto (2018), chapter 6; Mnih et al. 2015 (DQN); van Hasselt et al. 2016 (double DQN); Schulman et al.
2017 and its published program (clipped values).

``terminated`` cuts the bootstrap, a truncation does not, so targets need ``terminated`` alone and the value of the
true next observation. No gradient flows into a target.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from puzzlebox.types import Array


def td_target(reward: Array, next_value: Array, terminated: Array, discount: ArrayLike) -> Array:
    """r + γ V(s'), and r alone after a termination.

    Shapes: all ``[...]``. With ``next_value`` = Q(s', a') it is SARSA's target, with Σ π(a'|s') Q(s', a') expected
    SARSA's. Source: Sutton & Barto (2018), eq. 6.2.
    """
    return jax.lax.stop_gradient(reward + jnp.where(terminated, 0.0, discount * next_value))


def q_learning_target(reward: Array, next_q: Array, terminated: Array, discount: ArrayLike) -> Array:
    """r + γ max_a Q(s', a), and r alone after a termination.

    Shapes: ``next_q [..., U]``, the others ``[...]``; in DQN ``next_q`` is the target network's. Source: Watkins &
    Dayan 1992; Mnih et al. 2015.
    """
    return td_target(reward, jnp.max(next_q, axis=-1), terminated, discount)


def double_q_learning_target(
    reward: Array, next_q: Array, next_q_online: Array, terminated: Array, discount: ArrayLike
) -> Array:
    """r + γ Q(s', argmax_a Q_online(s', a)): one network chooses the action, the other one values it.

    Shapes: ``next_q`` (the target network's) and ``next_q_online`` ``[..., U]``, the others ``[...]``. Source: van
    Hasselt et al. 2016, "Deep reinforcement learning with double Q-learning".
    """
    return td_target(reward, action_value(next_q, jnp.argmax(next_q_online, axis=-1)), terminated, discount)


def action_value(q: Array, action: Array) -> Array:
    """Q(s, a) of the actions taken: ``q [..., U]``, ``action [...]`` -> ``[...]``."""
    return jnp.take_along_axis(q, jnp.asarray(action)[..., None], axis=-1)[..., 0]


def td_error(q: Array, action: Array, target: Array) -> Array:
    """target − Q(s, a): ``q [..., U]``, the others ``[...]``. The gradient flows into ``q`` alone."""
    return jax.lax.stop_gradient(target) - action_value(q, action)


def squared_error(prediction: Array, target: Array) -> Array:
    """(prediction − target)², ``[...]``; without the ½, which is the caller's coefficient."""
    return jnp.square(prediction - jax.lax.stop_gradient(target))


def huber(prediction: Array, target: Array, delta: ArrayLike = 1.0) -> Array:
    """½ e² where |e| ≤ δ, else δ (|e| − ½ δ), with e = prediction − target, ``[...]``.

    The gradient is e clipped to [−δ, δ]: half that of `squared_error` near 0. Source: Huber 1964; "error clipping" in
    Mnih et al. 2015 is δ = 1.
    """
    size = jnp.abs(prediction - jax.lax.stop_gradient(target))
    near = jnp.minimum(size, delta)
    return near * (size - 0.5 * near)


def clipped_value_loss(value: Array, old_value: Array, target: Array, clip: ArrayLike) -> Array:
    """max((V − G)², (V_old + clip(V − V_old, −ε, ε) − G)²): a step beyond ε earns nothing more.

    Shapes: all ``[...]``; ``clip`` is ε, in units of the return. Source: the published PPO program (OpenAI baselines);
    it is not in the paper, and Engstrom et al. 2020 find that it does not help.
    """
    old_value = jax.lax.stop_gradient(old_value)
    near = old_value + jnp.clip(value - old_value, -jnp.asarray(clip), jnp.asarray(clip))
    return jnp.maximum(squared_error(value, target), squared_error(near, target))
