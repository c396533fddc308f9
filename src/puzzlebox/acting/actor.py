"""From an actor network to something that acts: in `rollout` while it learns, as a policy when it is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from puzzlebox.acting.rollout import Choice
from puzzlebox.nets.heads import Actor, features, to_world
from puzzlebox.types import Array, Key, Policy


def sample_actions(actor: Actor, env: Any) -> Callable[[Array, Key], Choice]:
    """The ``act`` of `rollout`: samples actions from the actor's distributions."""

    def act(observation: Array, key: Key) -> Choice:
        distribution = actor(features(env.observation_space, observation))
        action = distribution.sample(key)
        return Choice(action, distribution.log_prob(action))

    return act


def actor_policy(actor: Callable[[Array], Any], env: Any, greedy: bool, read: Callable = features) -> Policy:
    """The actor's policy in the world's units: the mode of its distribution if ``greedy``, else a sample.

    ``read(space, observation)`` is what the actor takes: `features`, or `network_input` for one with a torso.
    """

    def policy(observation: Array, key: Key) -> Array:
        distribution = actor(read(env.observation_space, observation))
        return to_world(env.action_space, distribution.mode() if greedy else distribution.sample(key))

    return policy
