"""What MuZero stores of play, and the targets that its model learns (Schrittwieser et al. 2020, appendix G)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from puzzlebox.ops.returns import n_step_returns
from puzzlebox.types import Array


class Step(NamedTuple):
    """One step of the replay, leaves ``[..., B, ...]``; all from the view of the player who moved."""

    observation: Array
    legal: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    turn: Array  # −1 where the other player moves next, else 1
    chosen: Array  # True where the search chose the action, False for random opening moves
    value: Array  # by the search, of the observation
    next_value: Array  # by the network, of the true next observation; used where the episode was cut off
    policy: Array  # by the search


class Targets(NamedTuple):
    """What the model should predict after 0 … K unrolled steps, leaves ``[K + 1, N, ...]`` (``reward``: ``[K, N]``)."""

    reward: Array
    value: Array
    policy: Array
    known: Array  # True where it is known what follows: the episode goes on, or has terminated (rewards are 0 then)
    playing: Array  # True where the episode goes on, so that there is a policy to learn
    valued: Array  # True where the value is known too


def targets(window: Step, policy: Array, discount: float, td_steps: int, unroll_steps: int) -> Targets:
    """The targets for K = ``unroll_steps`` from a sequence of ``K + n + 1`` rows, n = ``td_steps``.

    ``window`` has leaves ``[K + n + 1, N, ...]``, ``policy [K + 1, N, U]``. Values are n-step returns, whose sign
    changes wherever the other player is to move. After a termination rewards and values are 0; after a truncation
    nothing is known.
    """
    # n-step returns
    next_value = jnp.where(window.truncated[:-1], window.next_value[:-1], window.value[1:])
    now = jax.tree.map(lambda x: x[:-1], window)
    returns = n_step_returns(now.reward, next_value, now.terminated, now.truncated, discount * now.turn, td_steps)

    # when the episode is over, and whether it terminated
    over = (now.terminated | now.truncated)[:unroll_steps]
    playing = jnp.cumsum(jnp.concatenate([jnp.zeros_like(over[:1]), over]), axis=0) == 0
    died = now.terminated[:unroll_steps] & playing[:-1]
    dead = jnp.cumsum(jnp.concatenate([jnp.zeros_like(died[:1]), died]), axis=0) > 0

    # what is to be predicted, and where
    reward = jnp.where(playing[:-1], now.reward[:unroll_steps], 0.0)
    value = jnp.where(playing, returns[: unroll_steps + 1], 0.0)
    known = playing | dead
    valued = known & (now.chosen[: unroll_steps + 1] | ~playing)
    return Targets(reward, value, policy, known, playing, valued)
