"""What goes into a network and what its outputs mean, decided by the spaces of the world."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from puzzlebox.errors import UsageError
from puzzlebox.nets.conv import Torso, is_picture
from puzzlebox.nets.mlp import MLP
from puzzlebox.ops.distributions import Categorical, Gaussian
from puzzlebox.types import Array, Key


def num_features(space: spaces.Space) -> int:
    """F, how many numbers `features` makes of one observation; raises UsageError for a space no network here reads."""
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


def network_input(space: spaces.Space, observation: Array) -> Array:
    """Observations ``[..., *shape]`` for a network with a `Torso`: pictures as they are, all others as `features`."""
    return observation if is_picture(space) else features(space, observation)


def require_discrete_actions(algorithm: str, space: spaces.Space) -> int:
    """The number of actions; raises UsageError when actions are not Discrete."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    raise UsageError(f"{algorithm} needs discrete actions, but this world's are {space}; try ppo")


def num_outputs(space: spaces.Space) -> int:
    """How many numbers a policy network gives: one per action of Discrete, one per dimension of Box."""
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


class ActorAndCritic(eqx.Module):
    """Observations as `network_input` gives them -> the actor's distribution and the critic's value ``[...]``.

    Two networks that share nothing; on pictures one `Torso` with the layers ``hidden`` is shared, and actor and critic
    are one layer each on top of it.
    """

    actor: Actor
    critic: MLP
    torso: Torso | None

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        hidden: tuple[int, ...],
        *,
        actor_key: Key,
        critic_key: Key,
    ):
        self.torso, inputs = None, num_features(observation_space)
        if is_picture(observation_space):
            torso_key, critic_key = jax.random.split(critic_key)
            self.torso = Torso(observation_space, hidden, key=torso_key)
            inputs, hidden = self.torso.features, ()
        self.actor = Actor(inputs, hidden, action_space, key=actor_key)
        self.critic = MLP(inputs, hidden, 1, key=critic_key)

    def __call__(self, x: Array) -> tuple[Categorical | Gaussian, Array]:
        x = self._features(x)
        return self.actor(x), self.critic(x)[..., 0]

    def policy(self, x: Array) -> Categorical | Gaussian:
        """The actor's distribution alone."""
        return self.actor(self._features(x))

    def value(self, x: Array) -> Array:
        """The critic's value ``[...]`` alone."""
        return self.critic(self._features(x))[..., 0]

    def _features(self, x: Array) -> Array:
        return x if self.torso is None else self.torso(x)


def to_world(space: spaces.Space, action: Array) -> Array:
    """A policy's actions ``[..., *shape]`` as the world takes them.

    A bounded Box: from units of its half-width around its centre to its own, then clipped to it. All others: as they
    are.
    """
    if isinstance(space, spaces.Box) and space.is_bounded():
        centre, half = (space.high + space.low) / 2, (space.high - space.low) / 2
        return jnp.clip(action * half + centre, space.low, space.high)
    return action
