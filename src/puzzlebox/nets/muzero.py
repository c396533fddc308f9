"""MuZero's three networks: what is seen becomes a state, a state and an action the next one, a state a judgement.

Source: Schrittwieser et al. 2020 (arXiv 1911.08265), appendices F and G. Departure: perceptrons, with the dynamics as a
change of the state, in the place of residual towers: the boards and worlds that a CPU learns are small.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from puzzlebox.nets.mlp import MLP
from puzzlebox.types import Array, Key


class WorldModel(eqx.Module):
    """h, g and f of the paper; states are float32 ``[..., width]`` within [0, 1].

    Rewards and values come as logits over categories, see `ops.two_hot`.
    """

    representation: MLP
    dynamics: MLP
    prediction: MLP
    actions: int = eqx.field(static=True)

    def __init__(self, inputs: int, width: int, hidden: tuple[int, ...], actions: int, num_bins: int, *, key: Key):
        keys = jax.random.split(key, 3)

        def net(key: Key, inputs: int, outputs: int) -> MLP:
            return MLP(inputs, hidden, outputs, key=key, activation="relu", initial="uniform")

        self.representation = net(keys[0], inputs, width)
        self.dynamics = net(keys[1], width + actions, width + num_bins)
        self.prediction = net(keys[2], width, actions + num_bins)
        self.actions = actions

    def represent(self, features: Array) -> Array:
        """s_0 = h(o): features ``[..., F]`` -> state ``[..., width]``."""
        return scale(self.representation(features))

    def advance(self, state: Array, action: Array) -> tuple[Array, Array]:
        """(s', reward logits) = g(s, a): ``state [..., width]``, ``action`` int ``[...]``."""
        x = jnp.concatenate([state, jax.nn.one_hot(action, self.actions)], axis=-1)
        change, reward = jnp.split(self.dynamics(x), [state.shape[-1]], axis=-1)
        return scale(state + change), reward

    def predict(self, state: Array) -> tuple[Array, Array]:
        """(policy logits ``[..., U]``, value logits ``[..., num_bins]``) = f(s)."""
        policy, value = jnp.split(self.prediction(state), [self.actions], axis=-1)
        return policy, value


def scale(state: Array) -> Array:
    """Each state moved and stretched so that its smallest number is 0 and its largest 1 (appendix G)."""
    low = state.min(axis=-1, keepdims=True)
    high = state.max(axis=-1, keepdims=True)
    return (state - low) / jnp.maximum(high - low, 1e-5)


def scale_gradient(x: Array, share: float) -> Array:
    """``x`` itself; only this share of the gradient passes back through it."""
    return share * x + (1 - share) * jax.lax.stop_gradient(x)
