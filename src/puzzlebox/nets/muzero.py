"""MuZero's three networks: representation h, dynamics g and prediction f.

Source: Schrittwieser et al. 2020 (arXiv 1911.08265), appendices F and G. h makes a state of an observation, g makes the
next state and the reward of a state and an action, f makes policy and value of a state. `WorldModel` is made of
perceptrons, and its dynamics predict the change of the state; in `BoardModel` states are boards too, and convolved.

Departures: perceptrons, or a residual block or two without batch normalisation, instead of towers of sixteen; actions
enter a board's dynamics as learned embeddings of every square, instead of planes that mark the move.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from puzzlebox.nets.board import Block, Layer, patches
from puzzlebox.nets.mlp import MLP
from puzzlebox.types import Array, Key

BOARD = (-3, -2, -1)  # the axes of a state that is a board


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


class Head(eqx.Module):
    """Board ``[..., H, W, C]`` -> ``[..., outputs]``: a hidden layer over all squares and the maximum of each plane."""

    join: Layer
    out: Layer

    def __init__(self, shape: tuple[int, int, int], width: int, outputs: int, *, key: Key):
        height, breadth, planes = shape
        join_key, out_key = jax.random.split(key)
        self.join = Layer((height * breadth + 1) * planes, width, key=join_key)
        self.out = Layer(width, outputs, key=out_key, gain=1e-4)

    def __call__(self, board: Array) -> Array:
        squares = board.reshape(*board.shape[:-3], -1)
        seen = jnp.concatenate([squares, board.max(axis=(-3, -2))], axis=-1)
        return self.out(jax.nn.relu(self.join(seen)))


class BoardModel(eqx.Module):
    """The three networks for boards: observations ``[..., H, W, C]``, states float32 ``[..., H, W, width]`` in [0, 1].

    Representation and dynamics have ``num_blocks`` residual blocks of 3×3 convolutions each.
    """

    first: Layer
    look: tuple[Block, ...]
    acted: Array  # [U, H, W, width], what an action adds within the first block of the dynamics
    follow: tuple[Block, ...]
    reward: Head
    prediction: Head
    actions: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, int, int],
        actions: int,
        num_bins: int,
        *,
        width: int,
        num_blocks: int,
        head_width: int,
        key: Key,
    ):
        first_key, acted_key, reward_key, prediction_key, *keys = jax.random.split(key, 4 + 2 * num_blocks)
        blocks = tuple(Block(width, True, key=key) for key in keys)
        state = (*shape[:2], width)
        self.first = Layer(9 * shape[2], width, key=first_key)
        self.look, self.follow = blocks[:num_blocks], blocks[num_blocks:]
        self.acted = jax.random.normal(acted_key, (actions, *state))
        self.reward = Head(state, head_width, num_bins, key=reward_key)
        self.prediction = Head(state, head_width, actions + num_bins, key=prediction_key)
        self.actions = actions

    def represent(self, board: Array) -> Array:
        """s_0 = h(o): observation ``[..., H, W, C]`` -> state ``[..., H, W, width]``."""
        x = jax.nn.relu(self.first(patches(board)))
        for block in self.look:
            x = block(x)
        return scale(x, axis=BOARD)

    def advance(self, state: Array, action: Array) -> tuple[Array, Array]:
        """(s', reward logits ``[..., num_bins]``) = g(s, a): ``state [..., H, W, width]``, ``action`` int ``[...]``."""
        x = self.follow[0](state, self.acted[action])
        for block in self.follow[1:]:
            x = block(x)
        return scale(x, axis=BOARD), self.reward(x)

    def predict(self, state: Array) -> tuple[Array, Array]:
        """(policy logits ``[..., U]``, value logits ``[..., num_bins]``) = f(s)."""
        policy, value = jnp.split(self.prediction(state), [self.actions], axis=-1)
        return policy, value


Model = WorldModel | BoardModel


def unroll(net: Model, x: Array, action: Array) -> tuple[Array, Array, Array]:
    """The model's logits along its own states: policy ``[K + 1, N, U]``, value ``[K + 1, N, bins]``, reward ``[K, …]``.

    ``x [N, F]`` is the first observation, ``action [K, N]`` are the actions after it. Each step passes half of its
    gradient back to the state before it, so that the first state's gradient is not drowned by those of all later ones
    (appendix G).
    """
    first = net.represent(x)

    def advance(state: Array, action: Array) -> tuple[Array, tuple[Array, Array]]:
        state, reward = net.advance(scale_gradient(state, 0.5), action)
        return state, (state, reward)

    _, (later, rewards) = jax.lax.scan(advance, first, action)
    policies, values = net.predict(jnp.concatenate([first[None], later]))
    return policies, values, rewards


def scale(state: Array, axis: int | tuple[int, ...] = -1) -> Array:
    """Each state shifted and scaled so that its minimum is 0 and its maximum 1 (appendix G)."""
    low = state.min(axis=axis, keepdims=True)
    high = state.max(axis=axis, keepdims=True)
    return (state - low) / jnp.maximum(high - low, 1e-5)


def scale_gradient(x: Array, share: float) -> Array:
    """``x`` unchanged; only ``share`` of the gradient flows back through it."""
    return share * x + (1 - share) * jax.lax.stop_gradient(x)
