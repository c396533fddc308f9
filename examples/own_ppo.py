"""PPO, copied from puzzlebox and changed in one line: the critic's loss is Huber's, which large errors move less.

Run it as any other: puzzlebox train examples/own_ppo.py:MyPPO CartPole-v1 --seeds 3
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting.actor import actor_policy
from puzzlebox.acting.rollout import Choice, Worlds, rollout, start
from puzzlebox.algorithms.deep import optimiser
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.heads import ActorAndCritic, check_actor, network_input, num_features
from puzzlebox.ops.branch import when
from puzzlebox.ops.masks import normalise
from puzzlebox.ops.policy_losses import approximate_kl, clipped_policy_loss, is_clipped
from puzzlebox.ops.returns import gae
from puzzlebox.ops.shuffle import shuffle
from puzzlebox.ops.value_losses import huber
from puzzlebox.types import Array, Key, Metrics, Policy, Timestep, Trajectory


class State(NamedTuple):
    nets: ActorAndCritic
    optimiser: optax.OptState
    worlds: Worlds
    key: Key


class MyPPO(eqx.Module):
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
    max_grad_norm: float = param(0.5, "gradients with a larger global norm are clipped to it", low=0.0)
    hidden: tuple[int, ...] = param((64, 64), "widths of the hidden layers; on pictures shared, after convolutions")

    def __check_init__(self):
        check_fields(self)
        check_actor("MyPPO", self.env.action_space)
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
        spaces = self.env.observation_space, self.env.action_space
        nets = ActorAndCritic(*spaces, self.hidden, actor_key=actor_key, critic_key=critic_key)
        return State(nets, self._optimiser().init(nets), start(vectorize(self.env, self.num_envs), worlds_key), key)

    def step(self, state: State) -> tuple[State, Metrics]:
        key, rollout_key, epochs_key = jax.random.split(state.key, 3)
        worlds, trajectory, metrics = self._collect(state, rollout_key)
        advantage, target = self._advantages(state.nets, worlds, trajectory)
        nets, optimiser_state, learning = self._improve(state, trajectory, advantage, target, epochs_key)
        return State(nets, optimiser_state, worlds, key), metrics | learning

    def policy(self, state: State, greedy: bool = False) -> Policy:
        return actor_policy(state.nets.policy, self.env, greedy, read=network_input)

    def _optimiser(self) -> optax.GradientTransformation:
        updates = self.steps // self.iteration_steps * self.num_epochs * self.num_minibatches
        return optimiser.adam(self.learning_rate, self.max_grad_norm, anneal_over=updates)

    def _input(self, observation: Array) -> Array:
        return network_input(self.env.observation_space, observation)

    def _collect(self, state: State, key: Key) -> tuple[Worlds, Trajectory, Metrics]:
        """``num_steps`` steps in every world. Extras ``[T, B]``: V(s_t), and V(s_{t+1}) where a clock cut the episode.

        The value comes with the action, so that each observation is seen once. In the row after a cut the world shows
        another episode already, so the value of what was cut off is computed then and there, which is seldom.
        """
        nets = state.nets

        def act(observation: Array, key: Key) -> Choice:
            distribution, value = nets(self._input(observation))
            action = distribution.sample(key)
            return Choice(action, distribution.log_prob(action), {"value": value})

        def look(timestep: Timestep) -> dict[str, Array]:
            some_cut, zeros = timestep.truncated.any(), jnp.zeros(self.num_envs)
            return {"cut_value": when(some_cut, lambda _: nets.value(self._input(timestep.observation)), zeros)}

        env = vectorize(self.env, self.num_envs)
        return rollout(act, env, state.worlds, self.num_steps, key, look)

    def _advantages(self, nets: ActorAndCritic, worlds: Worlds, trajectory: Trajectory) -> tuple[Array, Array]:
        """Advantages, and what the critic is to learn, ``[T, B]``."""
        value, cut_value = trajectory.extras["value"], trajectory.extras["cut_value"]
        following = jnp.concatenate([value[1:], nets.value(self._input(worlds.observation))[None]])
        advantage = gae(
            trajectory.reward,
            value,
            jnp.where(trajectory.truncated, cut_value, following),
            trajectory.terminated,
            trajectory.truncated,
            self.discount,
            self.gae_lambda,
        )
        return advantage, advantage + value

    def _improve(
        self, state: State, trajectory: Trajectory, advantage: Array, target: Array, key: Key
    ) -> tuple[ActorAndCritic, optax.OptState, Metrics]:
        """Epochs of minibatch gradient steps."""
        x, transform = self._input(trajectory.observation), self._optimiser()
        batch = (x, trajectory.action, trajectory.log_prob, advantage, target)
        batch = jax.tree.map(lambda leaf: leaf.reshape(self.iteration_steps, *leaf.shape[2:]), batch)

        def gradient_step(carry, rows: Array):
            nets, optimiser_state = carry
            minibatch = jax.tree.map(lambda leaf: leaf[rows], batch)
            gradient, metrics = jax.grad(self._loss, has_aux=True)(nets, *minibatch)
            updates, optimiser_state = transform.update(gradient, optimiser_state, nets)
            return (optax.apply_updates(nets, updates), optimiser_state), metrics

        # every epoch is a new order of all rows, cut into minibatches
        orders = jax.vmap(lambda k: shuffle(k, self.iteration_steps))(jax.random.split(key, self.num_epochs))
        minibatches = orders.reshape(self.num_epochs * self.num_minibatches, -1)
        (nets, optimiser_state), metrics = jax.lax.scan(gradient_step, (state.nets, state.optimiser), minibatches)
        return nets, optimiser_state, jax.tree.map(jnp.mean, metrics)

    def _loss(
        self, nets: ActorAndCritic, x: Array, action: Array, old_log_prob: Array, advantage: Array, target: Array
    ) -> tuple[Array, Metrics]:
        distribution, value = nets(x)
        log_prob = distribution.log_prob(action)
        policy_loss = clipped_policy_loss(log_prob, old_log_prob, normalise(advantage), self.clip_ratio).mean()
        value_loss = huber(value, target).mean()
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
