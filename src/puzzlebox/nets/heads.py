"""What goes into a network and what its outputs mean, decided by the spaces of the world."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from puzzlebox.errors import UsageError
from puzzlebox.nets.conv import is_picture
from puzzlebox.nets.mlp import MLP
from puzzlebox.ops.distributions import Categorical, Gaussian
from puzzlebox.types import Array, Key


def num_features(space: spaces.Space) -> int:
    """How many numbers `features` makes of one observation; raises UsageError for a space no network here reads."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    if isinstance(space, spaces.Box):
        return int(np.prod(space.shape))
    raise UsageError(
        f"observations of type {type(space).__name__} are not supported; Box, Discrete and MultiDiscrete are"
    )


def features(space: spaces.Space, observation: Array) -> Array:
    """Observations ``[..., *shape]`` as float32 ``[..., F]``: boxes flattened, discrete values one-hot."""
    if isinstance(space, spaces.Discrete):
        return jax.nn.one_hot(observation - int(space.start), int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        parts = [jax.nn.one_hot(observation[..., i], int(n)) for i, n in enumerate(space.nvec)]
        return jnp.concatenate(parts, axis=-1)
    batch = observation.shape[: observation.ndim - len(space.shape or ())]
    return observation.reshape(*batch, -1).astype(jnp.float32)


def see(space: spaces.Space, observation: Array) -> Array:
    """Observations as networks with a `Torso` take them: pictures as they are, everything else as `features`."""
    return observation if is_picture(space) else features(space, observation)


def require_discrete_actions(algorithm: str, space: spaces.Space) -> int:
    """The number of actions; raises UsageError when actions are not Discrete."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    raise UsageError(f"{algorithm} needs discrete actions, but this world's are {space}; try ppo")


def num_outputs(space: spaces.Space) -> int:
    """How many numbers a policy network gives: one per action, or one per dimension."""
    return int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape or ()))


def check_actor(algorithm: str, space: spaces.Space) -> None:
    """Raises UsageError unless `Actor` can act in this action space."""
    if not (isinstance(space, spaces.Discrete) or (isinstance(space, spaces.Box) and len(space.shape) == 1)):
        raise UsageError(f"{algorithm} acts in Discrete and one-dimensional Box spaces, but this world's is {space}")


class Actor(eqx.Module):
    """Observation features ``[..., F]`` -> distribution over actions.

    Discrete actions: a categorical. Box actions: a Gaussian whose standard deviation is a free parameter and whose
    mean and deviation are in units of the box's half-width where the box is bounded.
    """

    net: MLP
    log_std: Array | None

    def __init__(
        self, inputs: int, hidden: tuple[int, ...], space: spaces.Space, *, key: Key, activation: str = "tanh"
    ):
        discrete = isinstance(space, spaces.Discrete)
        outputs = num_outputs(space)
        self.net = MLP(inputs, hidden, outputs, key=key, activation=activation, out_scale=0.01)
        self.log_std = None if discrete else jnp.zeros(outputs)

    def __call__(self, x: Array) -> Categorical | Gaussian:
        out = self.net(x)
        if self.log_std is None:
            return Categorical(out)
        return Gaussian(out, self.log_std)


def to_world(space: spaces.Space, action: Array) -> Array:
    """A policy's action as the world takes it: a Gaussian's is scaled to a bounded Box and clipped to it."""
    if isinstance(space, spaces.Box) and space.is_bounded():
        centre, half = (space.high + space.low) / 2, (space.high - space.low) / 2
        return jnp.clip(action * half + centre, space.low, space.high)
    return action
