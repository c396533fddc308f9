"""PPO: proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

Idea: collect experience with the current policy, then improve it for several epochs on that same experience, with a
loss that stops rewarding the policy once an action's probability has moved by more than the clip ratio.

Departures: a truncated episode is bootstrapped from its true last observation; actor and critic are separate networks,
but share the torso that reads pictures; advantages are normalised per minibatch and the learning rate falls linearly to
zero, as in the common implementations.

Pictures stay whole numbers until a minibatch enters the network, and what follows a step is not stored: its value is
that of the next row, and is computed on its own only where a clock cut the episode.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting.actor import explore, play
from puzzlebox.acting.rollout import Worlds, rollout, start
from puzzlebox.algorithms.deep import optimiser
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.conv import Torso, is_picture
from puzzlebox.nets.heads import Actor, check_actor, num_features, see
from puzzlebox.nets.mlp import MLP
from puzzlebox.ops.branch import when
from puzzlebox.ops.masks import normalise
from puzzlebox.ops.policy_losses import approximate_kl, clipped_policy_loss, is_clipped
from puzzlebox.ops.returns import gae
from puzzlebox.ops.shuffle import shuffle
from puzzlebox.ops.value_losses import squared_error
from puzzlebox.types import Array, Key, Metrics, Policy, Timestep, Trajectory


class State(NamedTuple):
    nets: tuple  # actor, critic, and on pictures the torso that both share
    optimiser: optax.OptState
    worlds: Worlds
    key: Key


class PPO(eqx.Module):
    """Clipped policy updates on fresh experience; discrete (categorical) and continuous (Gaussian) actions."""

    env: Any
    steps: int = param(100_000, "environment steps of the whole training", low=1)
    num_envs: int = param(8, "parallel worlds", low=1)
    num_steps: int = param(32, "steps per world and iteration", low=1)
    num_epochs: int = param(4, "passes over each iteration's experience", low=1)
    num_minibatches: int = param(4, "gradient steps per pass", low=1)
    learning_rate: float = param(2.5e-3, "Adam's step size at the start; it falls linearly to zero", low=0.0)
    discount: float = param(0.99, "γ, the weight of the next reward", low=0.0, high=1.0)
    gae_lambda: float = param(0.95, "λ of the advantage estimate: 0 one-step, 1 whole returns", low=0.0, high=1.0)
    clip_ratio: float = param(0.2, "ε, how far an action's probability may move per iteration", low=0.0)
    value_coef: float = param(0.5, "weight of the critic's loss", low=0.0)
    entropy_coef: float = param(0.0, "weight of the entropy bonus", low=0.0)
    max_grad_norm: float = param(0.5, "gradients longer than this are shortened to it", low=0.0)
    hidden: tuple[int, ...] = param((64, 64), "widths of the hidden layers; on pictures shared, after convolutions")

    def __check_init__(self):
        check_fields(self)
        check_actor("ppo", self.env.action_space)
        num_features(self.env.observation_space)
        batch = self.num_envs * self.num_steps
        if batch % self.num_minibatches:
            raise UsageError(
                f"num_minibatches is {self.num_minibatches}, which does not divide the batch of {batch} "
                f"(num_envs {self.num_envs} × num_steps {self.num_steps}); choose a divisor of {batch}"
            )

    @property
    def iteration_steps(self) -> int:
        return self.num_envs * self.num_steps

    def init(self, key: Key) -> State:
        actor_key, critic_key, worlds_key, key = jax.random.split(key, 4)
        space, hidden, torso = self.env.observation_space, self.hidden, None
        inputs = num_features(space)
        if is_picture(space):
            torso_key, critic_key = jax.random.split(critic_key)
            torso = Torso(space, hidden, key=torso_key)
            inputs, hidden = torso.features, ()
        actor = Actor(inputs, hidden, self.env.action_space, key=actor_key)
        critic = MLP(inputs, hidden, 1, key=critic_key)
        nets = (actor, critic) if torso is None else (actor, critic, torso)
        worlds = start(vectorize(self.env, self.num_envs), worlds_key)
        return State(nets, self._optimiser().init(nets), worlds, key)

    def step(self, state: State) -> tuple[State, Metrics]:
        key, rollout_key, epochs_key = jax.random.split(state.key, 3)
        collect = self._collect_pictures if is_picture(self.env.observation_space) else self._collect
        worlds, trajectory, value, next_value, metrics = collect(state, rollout_key)
        advantage = gae(
            trajectory.reward,
            value,
            next_value,
            trajectory.terminated,
            trajectory.truncated,
            self.discount,
            self.gae_lambda,
        )
        (nets, optimiser_state), learning = self._improve(state, trajectory, advantage, advantage + value, epochs_key)
        return State(nets, optimiser_state, worlds, key), metrics | learning

    def policy(self, state: State, greedy: bool = False) -> Policy:
        return play(lambda x: state.nets[0](_view(state.nets, x)), self.env, greedy, read=see)

    def _optimiser(self) -> optax.GradientTransformation:
        updates = self.steps // self.iteration_steps * self.num_epochs * self.num_minibatches
        return optimiser.adam(self.learning_rate, self.max_grad_norm, anneal_over=updates)

    def _collect(self, state: State, key: Key):
        """Worlds, trajectory, values and next values ``[T, B]``, metrics."""
        env = vectorize(self.env, self.num_envs)
        act = explore(state.nets[0], self.env)
        worlds, trajectory, metrics = rollout(act, env, state.worlds, self.num_steps, key)
        value, next_value = (self._value(state.nets, x) for x in (trajectory.observation, trajectory.next_observation))
        return worlds, trajectory, value, next_value, metrics

    def _collect_pictures(self, state: State, key: Key):
        """The same, with each picture seen once: the values come with the actions."""
        actor, critic, torso = state.nets

        def act(observation: Array, key: Key) -> tuple[Array, tuple[Array, Array]]:
            x = torso(observation)
            distribution = actor(x)
            action = distribution.sample(key)
            return action, (distribution.log_prob(action), critic(x)[..., 0])

        def value_if_cut(timestep: Timestep) -> Array:
            cut = timestep.truncated.any()
            return when(cut, lambda _: self._value(state.nets, timestep.observation), jnp.zeros(self.num_envs))

        env = vectorize(self.env, self.num_envs)
        worlds, trajectory, metrics = rollout(act, env, state.worlds, self.num_steps, key, keep=value_if_cut)
        log_prob, value = trajectory.log_prob
        following = jnp.concatenate([value[1:], self._value(state.nets, worlds.observation)[None]])
        next_value = jnp.where(trajectory.truncated, trajectory.next_observation, following)
        return worlds, trajectory._replace(log_prob=log_prob), value, next_value, metrics

    def _value(self, nets: tuple, observation: Array) -> Array:
        return nets[1](_view(nets, see(self.env.observation_space, observation)))[..., 0]

    def _improve(self, state: State, trajectory: Trajectory, advantage: Array, target: Array, key: Key):
        """Epochs of minibatch gradient steps."""
        seen = see(self.env.observation_space, trajectory.observation)
        batch = (seen, trajectory.action, trajectory.log_prob, advantage, target)
        batch = jax.tree.map(lambda x: x.reshape(self.iteration_steps, *x.shape[2:]), batch)
        transform = self._optimiser()

        def gradient_step(carry, indices: Array):
            nets, optimiser_state = carry
            minibatch = jax.tree.map(lambda x: x[indices], batch)
            gradient, metrics = jax.grad(self._loss, has_aux=True)(nets, *minibatch)
            updates, optimiser_state = transform.update(gradient, optimiser_state, nets)
            return (optax.apply_updates(nets, updates), optimiser_state), metrics

        orders = jax.vmap(lambda k: shuffle(k, self.iteration_steps))(jax.random.split(key, self.num_epochs))
        indices = orders.reshape(self.num_epochs * self.num_minibatches, -1)
        carry, metrics = jax.lax.scan(gradient_step, (state.nets, state.optimiser), indices)
        return carry, jax.tree.map(jnp.mean, metrics)

    def _loss(self, nets, observation, action, old_log_prob, advantage, target) -> tuple[Array, Metrics]:
        actor, critic = nets[:2]
        observation = _view(nets, observation)
        distribution = actor(observation)
        log_prob = distribution.log_prob(action)
        policy_loss = clipped_policy_loss(log_prob, old_log_prob, normalise(advantage), self.clip_ratio).mean()
        value_loss = 0.5 * squared_error(critic(observation)[..., 0], target).mean()
        entropy = distribution.entropy().mean()
        loss = policy_loss + self.value_coef * value_loss - self.entropy_coef * entropy
        metrics = {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "approximate_kl": approximate_kl(log_prob, old_log_prob).mean(),
            "clip_fraction": is_clipped(log_prob, old_log_prob, self.clip_ratio).mean(),
        }
        return loss, metrics


def _view(nets: tuple, seen: Array) -> Array:
    """What actor and critic read: the torso's view of a picture, anything else as it is."""
    return nets[2](seen) if len(nets) == 3 else seen
