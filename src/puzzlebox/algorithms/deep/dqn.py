"""DQN: deep Q-learning with experience replay and a target network (Mnih et al. 2013, 2015).

Idea: regress Q(s, a) on r + γ max Q_target(s', ·) over random past transitions; the target network is a copy of the
network that is refreshed only now and then, so that the regression does not chase itself.

Options, all of which together are Rainbow (Hessel et al. 2018): double (van Hasselt et al. 2016), dueling (Wang et al.
2016), prioritised replay (Schaul et al. 2016), n-step returns, distributional values (Bellemare et al. 2017), noisy
networks (Fortunato et al. 2018); squared or Huber error. Pictures go through convolutions, see `nets.conv`, and their
frames are stored once, see `data.frames`; a world that stacks frames says how many in ``frame_stack``.

Departures: Adam instead of RMSProp; the target may also follow the network gradually (Lillicrap et al. 2016); several
worlds may step at once; a truncated transition is bootstrapped, a terminated one is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from puzzlebox.acting.rollout import Choice, Worlds, rollout, start, zero_actions
from puzzlebox.algorithms.deep import optimiser
from puzzlebox.data.experience import Experience, Past, reprioritise
from puzzlebox.data.transitions import Sample
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.conv import is_picture
from puzzlebox.nets.heads import network_input, num_features, require_discrete_actions
from puzzlebox.nets.q_networks import QNetwork
from puzzlebox.ops import schedules
from puzzlebox.ops.branch import when
from puzzlebox.ops.categorical_values import categorical_target, cross_entropy
from puzzlebox.ops.value_losses import (
    action_value,
    double_q_learning_target,
    huber,
    q_learning_target,
    squared_error,
)
from puzzlebox.types import Array, Key, Metrics, Policy, Stacked


class State(NamedTuple):
    net: QNetwork
    target: QNetwork
    optimiser: optax.OptState
    past: Past
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
    capacity: int = param(100_000, "steps that the replay remembers, about; never more than the training has", low=1)
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
    prioritised: bool = param(False, "replay steps in proportion to their error, not all alike")
    priority_exponent: float = param(0.5, "α of prioritised replay: 0 all alike, 1 in proportion", low=0.0)
    importance_exponent: float = param(0.4, "β at the start, which corrects for it; it rises to 1", low=0.0, high=1.0)
    n_step: int = param(1, "rewards before the bootstrap", low=1)
    distributional: bool = param(False, "learn the distribution of returns (C51); `loss` is then a cross-entropy")
    num_atoms: int = param(51, "returns that a distribution is made of", low=2)
    value_limit: int = param(10, "the largest of them; the smallest is its negative", low=1)
    noisy: bool = param(False, "explore by noise in the weights instead of ε")
    noise_scale: float = param(0.5, "σ₀, the noise at the start, times √inputs", low=0.0)
    max_grad_norm: float = param(10.0, "gradients with a larger global norm are clipped to it", low=0.0)
    hidden: tuple[int, ...] = param((120, 84), "widths of the hidden layers")

    def __check_init__(self):
        check_fields(self)
        require_discrete_actions("dqn", self.env.action_space)
        num_features(self.env.observation_space)
        if self.capacity < self.iteration_steps:
            raise UsageError(f"capacity is {self.capacity}; it must hold one iteration of {self.iteration_steps} steps")
        rows, margins = self._experience.rows, self._experience.margins
        if rows <= sum(margins):
            least = (sum(margins) + self.num_steps) * self.num_envs
            raise UsageError(
                f"the replay holds {rows} steps of each world, too few for {self._experience.stack} frames and "
                f"{self.n_step} rewards; make capacity and steps at least {least}"
            )

    @property
    def iteration_steps(self) -> int:
        return self.num_envs * self.num_steps

    @property
    def _experience(self) -> Experience:
        space = self.env.observation_space
        frames = self.env.frame_stack if isinstance(self.env, Stacked) else 1
        stack = frames if is_picture(space) and space.dtype == np.uint8 else 0
        blocks = max(min(self.capacity, self.steps) // self.iteration_steps, 1)  # of an iteration: none wraps around
        return Experience(blocks * self.num_steps, self.num_envs, self.n_step, stack, self.prioritised)

    def init(self, key: Key) -> State:
        net_key, worlds_key, key = jax.random.split(key, 3)
        env = vectorize(self.env, self.num_envs)
        worlds = start(env, worlds_key)
        net = QNetwork(
            self.env.observation_space,
            self.hidden,
            int(self.env.action_space.n),
            key=net_key,
            dueling=self.dueling,
            num_atoms=self.num_atoms if self.distributional else 1,
            limit=self.value_limit,
            noise=self.noise_scale if self.noisy else 0.0,
        )
        past = self._experience.empty(worlds.observation, zero_actions(env))
        return State(net, net, self._optimiser().init(net), past, jnp.int32(0), worlds, key)

    def step(self, state: State) -> tuple[State, Metrics]:
        key, rollout_key, sample_key = jax.random.split(state.key, 3)

        # collect, with one draw of the noise for the whole rollout where the network has noise
        epsilon = self._epsilon(state.iteration)
        net = state.net
        if self.noisy:
            key, noise_key = jax.random.split(key)
            net = net.with_noise(noise_key)
        env = vectorize(self.env, self.num_envs)
        worlds, trajectory, metrics = rollout(
            self._explore(net, epsilon), env, state.worlds, self.num_steps, rollout_key
        )

        # remember; a row is the first of its episode where the row before it was the last of one
        begins = state.worlds.episode_length == 0
        first = jnp.concatenate([begins[None], (trajectory.terminated | trajectory.truncated)[:-1]])
        past = self._experience.add(state.past, trajectory, first)

        # improve, once there is enough to draw from
        ready = past.steps.added * self.num_envs > self.learning_starts
        ready &= past.steps.added > sum(self._experience.margins)  # below that nothing can be drawn
        state = State(state.net, state.target, state.optimiser, past, state.iteration + 1, worlds, key)
        state, learning = self._improve(state, ready, sample_key)

        # let the target network follow
        refresh = state.iteration % self.target_every == 0
        rate = jnp.where(refresh, self.target_rate, 0.0)
        target = jax.tree.map(lambda new, old: rate * new + (1 - rate) * old, state.net, state.target)
        return state._replace(target=target), metrics | {"epsilon": epsilon} | learning

    def policy(self, state: State, greedy: bool = False) -> Policy:
        epsilon = 0.0 if greedy or self.noisy else self.epsilon_end
        act = self._explore(state.net, epsilon)
        return lambda observation, key: act(observation, key).action

    def _input(self, observation: Array) -> Array:
        return network_input(self.env.observation_space, observation)

    def _optimiser(self) -> optax.GradientTransformation:
        updates = self.steps // self.iteration_steps * self.num_updates
        return optimiser.adam(self.learning_rate, self.max_grad_norm, anneal_over=updates)

    def _epsilon(self, iteration: Array) -> Array:
        if self.noisy:
            return jnp.float32(0)
        exploration = self.exploration_fraction * (self.steps // self.iteration_steps)
        return schedules.linear(self.epsilon_start, self.epsilon_end, exploration)(iteration)

    def _explore(self, net: QNetwork, epsilon: Array | float) -> Callable[[Array, Key], Choice]:
        """ε-greedy: with probability ε a random action, else the one that the network values most."""

        def act(observation: Array, key: Key) -> Choice:
            coin_key, action_key = jax.random.split(key)
            q = net(self._input(observation))
            best = jnp.argmax(q, axis=-1).astype(jnp.int32)
            random = jax.random.randint(action_key, best.shape, 0, q.shape[-1])
            explores = jax.random.uniform(coin_key, best.shape) < epsilon
            chosen_at_random = jnp.log(epsilon / q.shape[-1])
            log_prob = jnp.where(
                explores & (random != best), chosen_at_random, jnp.log1p(epsilon / q.shape[-1] - epsilon)
            )
            return Choice(jnp.where(explores, random, best), log_prob)

        return act

    def _improve(self, state: State, ready: Array, key: Key) -> tuple[State, Metrics]:
        """Gradient steps on replayed transitions, if ``ready``; until then metrics are NaN."""
        transform, experience = self._optimiser(), self._experience
        importance = schedules.linear(self.importance_exponent, 1.0, self.steps // self.iteration_steps)
        noise_keys = None
        if self.noisy:
            key, noise_key = jax.random.split(key)
            noise_keys = jax.random.split(noise_key, self.num_updates)
        draws = experience.prepare_draws(state.past, key, (self.num_updates, self.batch_size))

        def gradient_step(carry, randomness):
            net, optimiser_state, priorities = carry
            draw, noise_key = randomness
            past = state.past._replace(priorities=priorities)
            place, batch = experience.draw(past, draw, self.batch_size, self.discount, importance(state.iteration))
            gradient, (metrics, error) = jax.grad(self._loss, has_aux=True)(net, state.target, batch, noise_key)
            updates, optimiser_state = transform.update(gradient, optimiser_state, net)
            priorities = reprioritise(priorities, place, batch, error, self.priority_exponent)
            return (optax.apply_updates(net, updates), optimiser_state, priorities), metrics

        def learn(carry):
            carry, metrics = jax.lax.scan(gradient_step, carry[0], (draws, noise_keys))
            return carry, jax.tree.map(jnp.mean, metrics)

        nothing = dict.fromkeys(("loss", "q_mean"), jnp.float32(jnp.nan))
        carry = (state.net, state.optimiser, state.past.priorities)
        (net, optimiser_state, priorities), metrics = when(ready, learn, (carry, nothing))
        past = state.past._replace(priorities=priorities)
        return state._replace(net=net, optimiser=optimiser_state, past=past), metrics

    def _loss(self, net: QNetwork, target_net: QNetwork, batch: Sample, key: Key | None):
        """The weighted mean error, metrics, and the errors ``[N]`` that become priorities.

        ``chooser`` is the network that chooses the next action in double Q-learning: ``net``, with noise of its own.
        """
        chooser = net
        if key is not None:
            keys = jax.random.split(key, 3)
            net, target_net, chooser = net.with_noise(keys[0]), target_net.with_noise(keys[1]), net.with_noise(keys[2])
        errors = self._errors_of_distributions if self.distributional else self._errors_of_values
        q, error, priority = errors(net, target_net, chooser, batch)
        loss = (batch.weight * error).mean()
        return loss, ({"loss": loss, "q_mean": q.mean()}, priority)

    def _errors_of_values(self, net: QNetwork, target_net: QNetwork, chooser: QNetwork, batch: Sample):
        """Q(s, a), its regression error, and the difference from the target, ``[N]`` each."""
        next_x = self._input(batch.next_observation)
        next_q = target_net(next_x)
        if self.double:
            target = double_q_learning_target(batch.reward, next_q, chooser(next_x), batch.terminated, batch.discount)
        else:
            target = q_learning_target(batch.reward, next_q, batch.terminated, batch.discount)
        q = action_value(net(self._input(batch.observation)), batch.action)
        error = huber(q, target) if self.loss == "huber" else squared_error(q, target)
        return q, error, q - target

    def _errors_of_distributions(self, net: QNetwork, target_net: QNetwork, chooser: QNetwork, batch: Sample):
        """Q(s, a), and the cross-entropy of its distribution with the target's, error and priority in one, ``[N]``."""
        next_x = self._input(batch.next_observation)
        log_probs, next_log_probs = net.log_probs(self._input(batch.observation)), target_net.log_probs(next_x)
        next_q = chooser(next_x) if self.double else target_net.means(next_log_probs)
        next_probs = jnp.exp(_chosen(next_log_probs, next_q.argmax(axis=-1)))
        target = categorical_target(batch.reward, next_probs, batch.terminated, batch.discount, self.value_limit)
        q = action_value(net.means(log_probs), batch.action)
        error = cross_entropy(_chosen(log_probs, batch.action), target)
        return q, error, error


def _chosen(log_probs: Array, action: Array) -> Array:
    """The distribution of one action: ``[N, U, atoms]`` -> ``[N, atoms]``."""
    return jnp.take_along_axis(log_probs, action[:, None, None], axis=1)[:, 0]
