"""REINFORCE: the Monte-Carlo policy gradient (Williams 1992), with or without a baseline.

Idea: play whole episodes, then make every action taken more probable in proportion to the return that followed it. A
baseline, here a learned state value, is subtracted from the return: the gradient's mean stays, its variance shrinks.

Departures: discounted returns from every step, but states are not weighted by γ^t (nobody does); the advantages of an
iteration are normalised; Adam. Which episodes count must not depend on how long they turn out to be, or short ones are
favoured: all worlds start fresh, and the episodes that begin in the first half of the window count, whole. One that the
window itself cuts off is bootstrapped by the baseline, and without a baseline counts with the rewards seen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting.actor import actor_policy, sample_actions
from puzzlebox.acting.rollout import Worlds, rollout, start
from puzzlebox.algorithms.deep import optimiser
from puzzlebox.envs.vector import vectorize
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.heads import Actor, check_actor, features, num_features
from puzzlebox.nets.mlp import MLP
from puzzlebox.ops.masks import masked_mean, normalise
from puzzlebox.ops.policy_losses import policy_gradient_loss
from puzzlebox.ops.returns import discounted_returns
from puzzlebox.ops.value_losses import squared_error
from puzzlebox.types import Array, Key, Metrics, Policy, Trajectory


class Networks(NamedTuple):
    actor: Actor
    baseline: MLP


class State(NamedTuple):
    nets: Networks
    optimiser: optax.OptState
    worlds: Worlds
    key: Key


class Reinforce(eqx.Module):
    """Policy gradient on the returns of whole episodes; discrete and continuous actions."""

    env: Any
    steps: int = param(300_000, "environment steps of the whole training", low=1)
    num_envs: int = param(4, "parallel worlds", low=1)
    num_steps: int = param(1000, "steps per world and iteration; twice the longest episode wastes nothing", low=2)
    learning_rate: float = param(1e-2, "Adam's step size at the start; it falls linearly to zero", low=0.0)
    discount: float = param(0.99, "γ, the weight of the next reward", low=0.0, high=1.0)
    baseline: bool = param(True, "subtract a learned state value from the return")
    entropy_coef: float = param(0.0, "weight of the entropy bonus", low=0.0)
    max_grad_norm: float = param(0.5, "gradients with a larger global norm are clipped to it", low=0.0)
    hidden: tuple[int, ...] = param((64, 64), "widths of the hidden layers")

    def __check_init__(self):
        check_fields(self)
        check_actor("reinforce", self.env.action_space)
        num_features(self.env.observation_space)

    @property
    def iteration_steps(self) -> int:
        return self.num_envs * self.num_steps

    def init(self, key: Key) -> State:
        actor_key, baseline_key, worlds_key, key = jax.random.split(key, 4)
        inputs = num_features(self.env.observation_space)
        actor = Actor(inputs, self.hidden, self.env.action_space, key=actor_key)
        nets = Networks(actor, MLP(inputs, self.hidden, 1, key=baseline_key))
        return State(nets, self._optimiser().init(nets), start(vectorize(self.env, self.num_envs), worlds_key), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        key, start_key, rollout_key = jax.random.split(state.key, 3)
        env = vectorize(self.env, self.num_envs)
        act = sample_actions(state.nets.actor, self.env)
        worlds, trajectory, metrics = rollout(act, env, start(env, start_key), self.num_steps, rollout_key)
        trajectory = trajectory._replace(mask=began_in_first_half(trajectory))
        gradient, learning = jax.grad(self._loss, has_aux=True)(state.nets, trajectory)
        updates, optimiser_state = self._optimiser().update(gradient, state.optimiser, state.nets)
        nets = optax.apply_updates(state.nets, updates)
        return State(nets, optimiser_state, worlds, key), metrics | learning

    def policy(self, state: State, greedy: bool = False) -> Policy:
        return actor_policy(state.nets.actor, self.env, greedy)

    def _features(self, observation: Array) -> Array:
        return features(self.env.observation_space, observation)

    def _optimiser(self) -> optax.GradientTransformation:
        return optimiser.adam(self.learning_rate, self.max_grad_norm, anneal_over=self.steps // self.iteration_steps)

    def _loss(self, nets: Networks, trajectory: Trajectory) -> tuple[Array, Metrics]:
        observation = self._features(trajectory.observation)
        value = nets.baseline(observation)[..., 0] if self.baseline else jnp.zeros_like(trajectory.reward)
        next_value = nets.baseline(self._features(trajectory.next_observation))[..., 0] if self.baseline else 0.0
        returns = discounted_returns(
            trajectory.reward, next_value, trajectory.terminated, trajectory.truncated, self.discount
        )
        distribution = nets.actor(observation)
        log_prob = distribution.log_prob(trajectory.action)
        advantage = normalise(returns - jax.lax.stop_gradient(value), trajectory.mask)
        policy_loss = masked_mean(policy_gradient_loss(log_prob, advantage), trajectory.mask)
        value_loss = masked_mean(squared_error(value, returns), trajectory.mask)
        entropy = masked_mean(distribution.entropy(), trajectory.mask)
        loss = policy_loss + 0.5 * value_loss - self.entropy_coef * entropy
        return loss, {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}


def began_in_first_half(trajectory: Trajectory) -> Array:
    """True for the steps ``[T, B]`` of episodes that began in the first half of the window."""
    done = trajectory.terminated | trajectory.truncated
    rows = jnp.arange(done.shape[0])[:, None]
    begins_next = jnp.where(done, rows + 1, 0)[:-1]
    began = jax.lax.cummax(jnp.concatenate([jnp.zeros_like(begins_next[:1]), begins_next]), axis=0)
    return began < done.shape[0] / 2
