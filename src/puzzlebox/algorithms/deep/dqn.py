"""DQN: deep Q-learning with experience replay and a target network (Mnih et al. 2013, 2015).

Idea: regress Q(s, a) on r + γ max Q_target(s', ·) over random past transitions; the target network is a copy of the
network that is refreshed only now and then, so that the regression does not chase itself.

Options: double (van Hasselt et al. 2016), dueling (Wang et al. 2016), squared or Huber error. Departures: Adam instead
of RMSProp; the target may also follow the network gradually (Lillicrap et al. 2016); several worlds may step at once; a
truncated transition is bootstrapped, a terminated one is not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting.rollout import Worlds, rollout, start
from puzzlebox.algorithms.deep import optimiser
from puzzlebox.data import replay
from puzzlebox.data.replay import Replay, Transition
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.heads import QNetwork, features, num_features, require_discrete_actions
from puzzlebox.ops import schedules
from puzzlebox.ops.value_losses import (
    action_value,
    double_q_learning_target,
    huber,
    q_learning_target,
    squared_error,
)
from puzzlebox.types import Array, Key, Metrics, Policy, Trajectory


class State(NamedTuple):
    net: QNetwork
    target: QNetwork
    optimiser: optax.OptState
    replay: Replay
    iteration: Array
    worlds: Worlds
    key: Key


class DQN(eqx.Module):
    """Q-learning with a network, replay and a target network; discrete actions."""

    env: Any
    steps: int = param(100_000, "environment steps of the whole training", low=1)
    num_envs: int = param(8, "parallel worlds", low=1)
    num_steps: int = param(4, "steps per world and iteration", low=1)
    num_updates: int = param(8, "gradient steps per iteration", low=1)
    batch_size: int = param(128, "transitions per gradient step", low=1)
    capacity: int = param(100_000, "transitions that the replay remembers, about", low=1)
    learning_starts: int = param(1_000, "steps of random play before the first gradient step", low=0)
    learning_rate: float = param(1e-3, "Adam's step size at the start; it falls linearly to zero", low=0.0)
    discount: float = param(0.99, "γ, the weight of the next reward", low=0.0, high=1.0)
    epsilon_start: float = param(1.0, "share of random actions at the start", low=0.0, high=1.0)
    epsilon_end: float = param(0.04, "share of random actions after exploration", low=0.0, high=1.0)
    exploration_fraction: float = param(0.05, "part of training over which ε falls", low=0.0, high=1.0)
    target_every: int = param(1, "iterations between refreshes of the target network", low=1)
    target_rate: float = param(0.08, "how far a refresh moves the target: 1 copies the network", low=0.0, high=1.0)
    loss: str = param("huber", "error of the regression", choices=("huber", "squared"))
    double: bool = param(True, "choose the next action by the network, value it by the target")
    dueling: bool = param(False, "network with a state value and advantages")
    max_grad_norm: float = param(10.0, "gradients longer than this are shortened to it", low=0.0)
    hidden: tuple[int, ...] = param((120, 84), "widths of the hidden layers")

    def __check_init__(self):
        check_fields(self)
        require_discrete_actions("dqn", self.env.action_space)
        num_features(self.env.observation_space)
        if self.capacity < self.iteration_steps:
            raise UsageError(f"capacity is {self.capacity}; it must hold one iteration of {self.iteration_steps} steps")

    @property
    def iteration_steps(self) -> int:
        return self.num_envs * self.num_steps

    def init(self, key: Key) -> State:
        net_key, worlds_key, key = jax.random.split(key, 3)
        worlds = start(vectorize(self.env, self.num_envs), worlds_key)
        inputs, actions = num_features(self.env.observation_space), int(self.env.action_space.n)
        net = QNetwork(inputs, self.hidden, actions, dueling=self.dueling, key=net_key)
        seen = jax.tree.map(lambda x: x[0], worlds.observation)
        example = Transition(seen, jnp.int32(0), jnp.float32(0), jnp.bool_(False), seen)
        whole_blocks = self.capacity // self.iteration_steps * self.iteration_steps
        return State(
            net,
            net,
            self._optimiser().init(net),
            replay.empty(example, whole_blocks),
            jnp.int32(0),
            worlds,
            key,
        )

    def step(self, state: State) -> tuple[State, Metrics]:
        key, rollout_key, sample_key = jax.random.split(state.key, 3)
        epsilon = self._epsilon(state.iteration)
        act = self._explore(state.net, epsilon)
        env = vectorize(self.env, self.num_envs)
        worlds, trajectory, metrics = rollout(act, env, state.worlds, self.num_steps, rollout_key)
        memory = replay.add(state.replay, _transitions(trajectory))
        batches = replay.sample(memory, sample_key, (self.num_updates, self.batch_size))
        learned, learning = self._improve(state, batches)
        ready = memory.added > self.learning_starts
        net, optimiser_state = jax.tree.map(
            lambda new, old: jnp.where(ready, new, old), learned, (state.net, state.optimiser)
        )
        iteration = state.iteration + 1
        refresh = iteration % self.target_every == 0
        rate = jnp.where(refresh, self.target_rate, 0.0)
        target = jax.tree.map(lambda new, old: rate * new + (1 - rate) * old, net, state.target)
        metrics |= {"epsilon": epsilon} | jax.tree.map(lambda m: jnp.where(ready, m, jnp.nan), learning)
        return State(net, target, optimiser_state, memory, iteration, worlds, key), metrics

    def policy(self, state: State, greedy: bool = False) -> Policy:
        epsilon = 0.0 if greedy else self.epsilon_end
        act = self._explore(state.net, epsilon)
        return lambda observation, key: act(observation, key)[0]

    def _features(self, observation: Array) -> Array:
        return features(self.env.observation_space, observation)

    def _optimiser(self) -> optax.GradientTransformation:
        updates = self.steps // self.iteration_steps * self.num_updates
        return optimiser.adam(self.learning_rate, self.max_grad_norm, anneal_over=updates)

    def _epsilon(self, iteration: Array) -> Array:
        exploration = self.exploration_fraction * (self.steps // self.iteration_steps)
        return schedules.linear(self.epsilon_start, self.epsilon_end, exploration)(iteration)

    def _explore(self, net: QNetwork, epsilon: Array | float):
        """ε-greedy: a random action with probability ε, else the best by the network."""

        def act(observation: Array, key: Key) -> tuple[Array, Array]:
            coin_key, action_key = jax.random.split(key)
            q = net(self._features(observation))
            best = jnp.argmax(q, axis=-1).astype(jnp.int32)
            random = jax.random.randint(action_key, best.shape, 0, q.shape[-1])
            explores = jax.random.uniform(coin_key, best.shape) < epsilon
            chosen_at_random = jnp.log(epsilon / q.shape[-1])
            log_prob = jnp.where(
                explores & (random != best), chosen_at_random, jnp.log1p(epsilon / q.shape[-1] - epsilon)
            )
            return jnp.where(explores, random, best), log_prob

        return act

    def _improve(self, state: State, batches: Transition) -> tuple[tuple[QNetwork, optax.OptState], Metrics]:
        transform = self._optimiser()

        def gradient_step(carry, batch: Transition):
            net, optimiser_state = carry
            gradient, metrics = jax.grad(self._loss, has_aux=True)(net, state.target, batch)
            updates, optimiser_state = transform.update(gradient, optimiser_state, net)
            return (optax.apply_updates(net, updates), optimiser_state), metrics

        carry, metrics = jax.lax.scan(gradient_step, (state.net, state.optimiser), batches)
        return carry, jax.tree.map(jnp.mean, metrics)

    def _loss(self, net: QNetwork, target_net: QNetwork, batch: Transition) -> tuple[Array, Metrics]:
        next_features = self._features(batch.next_observation)
        next_q = target_net(next_features)
        if self.double:
            target = double_q_learning_target(batch.reward, next_q, net(next_features), batch.terminated, self.discount)
        else:
            target = q_learning_target(batch.reward, next_q, batch.terminated, self.discount)
        q = action_value(net(self._features(batch.observation)), batch.action)
        error = huber(q, target) if self.loss == "huber" else squared_error(q, target)
        return error.mean(), {"loss": error.mean(), "q_mean": q.mean()}


def _transitions(trajectory: Trajectory) -> Transition:
    """``[T, B, ...]`` -> ``[T·B, ...]`` for the replay."""
    transition = Transition(
        trajectory.observation,
        trajectory.action,
        trajectory.reward,
        trajectory.terminated,
        trajectory.next_observation,
    )
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), transition)
