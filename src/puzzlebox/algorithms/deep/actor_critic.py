"""Actor-critic: the advantage actor-critic A2C (Mnih et al. 2016, arXiv 1602.01783, run synchronously).

Idea: REINFORCE waits for an episode's end to learn its return; a critic's value of the state reached stands in for the
rest of it, so that the policy is improved every few steps.

Departures: λ-weighted advantages (GAE) instead of plain n-step ones, which are λ = 1; Adam instead of RMSProp.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import optax

from puzzlebox.acting.actor import actor_policy, sample_actions
from puzzlebox.acting.rollout import Worlds, rollout, start
from puzzlebox.algorithms.deep import optimiser
from puzzlebox.envs.vector import vectorize
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.heads import Actor, check_actor, features, num_features
from puzzlebox.nets.mlp import MLP
from puzzlebox.ops.masks import normalise
from puzzlebox.ops.policy_losses import policy_gradient_loss
from puzzlebox.ops.returns import gae
from puzzlebox.ops.value_losses import squared_error
from puzzlebox.types import Array, Key, Metrics, Policy, Trajectory


class Networks(NamedTuple):
    actor: Actor
    critic: MLP


class State(NamedTuple):
    nets: Networks
    optimiser: optax.OptState
    worlds: Worlds
    key: Key


class ActorCritic(eqx.Module):
    """Policy gradient on advantages by a critic, every few steps; discrete and continuous actions."""

    env: Any
    steps: int = param(300_000, "environment steps of the whole training", low=1)
    num_envs: int = param(8, "parallel worlds", low=1)
    num_steps: int = param(8, "steps per world and iteration", low=1)
    learning_rate: float = param(1.5e-3, "Adam's step size at the start; it falls linearly to zero", low=0.0)
    discount: float = param(0.99, "γ, the weight of the next reward", low=0.0, high=1.0)
    gae_lambda: float = param(0.95, "λ of the advantage estimate: 0 one-step, 1 n-step", low=0.0, high=1.0)
    value_coef: float = param(0.5, "weight of the critic's loss", low=0.0)
    entropy_coef: float = param(0.01, "weight of the entropy bonus", low=0.0)
    max_grad_norm: float = param(0.5, "gradients with a larger global norm are clipped to it", low=0.0)
    hidden: tuple[int, ...] = param((64, 64), "widths of the hidden layers")

    def __check_init__(self):
        check_fields(self)
        check_actor("actor_critic", self.env.action_space)
        num_features(self.env.observation_space)

    @property
    def iteration_steps(self) -> int:
        return self.num_envs * self.num_steps

    def init(self, key: Key) -> State:
        actor_key, critic_key, worlds_key, key = jax.random.split(key, 4)
        inputs = num_features(self.env.observation_space)
        actor = Actor(inputs, self.hidden, self.env.action_space, key=actor_key)
        nets = Networks(actor, MLP(inputs, self.hidden, 1, key=critic_key))
        return State(nets, self._optimiser().init(nets), start(vectorize(self.env, self.num_envs), worlds_key), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        key, rollout_key = jax.random.split(state.key)
        env = vectorize(self.env, self.num_envs)
        act = sample_actions(state.nets.actor, self.env)
        worlds, trajectory, metrics = rollout(act, env, state.worlds, self.num_steps, rollout_key)
        gradient, learning = jax.grad(self._loss, has_aux=True)(state.nets, trajectory)
        updates, optimiser_state = self._optimiser().update(gradient, state.optimiser, state.nets)
        return State(optax.apply_updates(state.nets, updates), optimiser_state, worlds, key), metrics | learning

    def policy(self, state: State, greedy: bool = False) -> Policy:
        return actor_policy(state.nets.actor, self.env, greedy)

    def _features(self, observation: Array) -> Array:
        return features(self.env.observation_space, observation)

    def _optimiser(self) -> optax.GradientTransformation:
        return optimiser.adam(self.learning_rate, self.max_grad_norm, anneal_over=self.steps // self.iteration_steps)

    def _loss(self, nets: Networks, trajectory: Trajectory) -> tuple[Array, Metrics]:
        observation = self._features(trajectory.observation)
        value = nets.critic(observation)[..., 0]
        next_value = nets.critic(self._features(trajectory.next_observation))[..., 0]
        advantage = gae(
            trajectory.reward,
            value,
            next_value,
            trajectory.terminated,
            trajectory.truncated,
            self.discount,
            self.gae_lambda,
        )
        distribution = nets.actor(observation)
        log_prob = distribution.log_prob(trajectory.action)
        policy_loss = policy_gradient_loss(log_prob, normalise(advantage)).mean()
        value_loss = 0.5 * squared_error(value, advantage + value).mean()
        entropy = distribution.entropy().mean()
        loss = policy_loss + self.value_coef * value_loss - self.entropy_coef * entropy
        return loss, {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
