"""MuZero: search with a model that was learned (Schrittwieser et al. 2020, arXiv 1911.08265).

Idea: the rules are not given. One network turns an observation into a hidden state, a second one turns a state and an
action into the next state and its reward, a third predicts policy and value of a state. A tree search runs on these
three, and they learn, unrolled over real sequences of play, to predict what matters to the search: rewards, values, and
the policy that the search arrived at. Worlds of one player and games of two are the same program.

Departures: Gumbel search (Danihelka et al. 2022), which improves the policy with as few as a dozen simulations; uniform
replay instead of a prioritised one; small networks; Adam. Reanalysis renews the policies and values *in the replay*,
for a random part of it in every iteration, so that every later use of them profits; bootstrapped values are then the
current network's. A truncated episode is bootstrapped from its true last observation, and nothing after it is learned.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting import self_play
from puzzlebox.acting.rollout import Choice, Worlds, rollout, start
from puzzlebox.acting.search import Branch, Root, SearchResult, gumbel, mask_illegal
from puzzlebox.acting.self_play import Games
from puzzlebox.algorithms.deep import optimiser
from puzzlebox.algorithms.planning.symmetry import random_symmetry
from puzzlebox.algorithms.planning.targets import Step, Targets, targets
from puzzlebox.data import replay, sequences
from puzzlebox.data.replay import Replay
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.board import require_board
from puzzlebox.nets.heads import features, num_features, require_discrete_actions
from puzzlebox.nets.muzero import BoardModel, Model, WorldModel, unroll
from puzzlebox.ops.masks import masked_mean
from puzzlebox.ops.two_hot import expected_value, two_hot
from puzzlebox.types import Array, Game, Key, Metrics, Policy, Position, World


class State(NamedTuple):
    net: Model
    optimiser: optax.OptState
    replay: Replay
    worlds: Any  # Worlds, or Games
    key: Key


class MuZero(eqx.Module):
    """Tree search on a learned model, for discrete actions and board games."""

    playing_members = ("net",)  # of the state; the rest is for learning

    env: World | Game
    steps: int = param(100_000, "environment steps of the whole training", low=1)
    num_envs: int = param(32, "parallel worlds", low=1)
    num_steps: int = param(4, "steps per world and iteration", low=1)
    num_simulations: int = param(16, "moves that the search tries out in its model before each step", low=1)
    num_updates: int = param(16, "gradient steps per iteration", low=1)
    batch_size: int = param(128, "stretches of play per gradient step", low=1)
    capacity: int = param(20_000, "steps that the replay remembers, about", low=1)
    learning_starts: int = param(2_000, "steps played before the first gradient step", low=0)
    unroll_steps: int = param(5, "K, how many steps the model is unrolled when it learns", low=1)
    td_steps: int = param(10, "n, the rewards in a value target before the search's value is used", low=1)
    random_moves: int = param(0, "in games, at most so many random moves open a game", low=0)
    symmetries: bool = param(True, "in games, learn from every stretch turned at random where the board allows it")
    reanalyse: int = param(1, "remembered steps searched again per step played", low=0)
    learning_rate: float = param(1e-3, "Adam's step size at the start; it falls linearly to zero", low=0.0)
    discount: float = param(0.997, "γ, the weight of the next reward", low=0.0, high=1.0)
    value_coef: float = param(0.5, "weight of the value's loss", low=0.0)
    max_grad_norm: float = param(5.0, "gradients with a larger global norm are clipped to it", low=0.0)
    value_limit: float = param(300.0, "the largest reward or value the categories reach", low=0.01)
    num_bins: int = param(51, "categories for rewards and values", low=2)
    network: str = param("mlp", "conv sees a board as a picture, mlp as a list", choices=("conv", "mlp"))
    width: int = param(64, "numbers in a state of the model; of conv: for every square", low=2)
    hidden: tuple[int, ...] = param((128,), "mlp: widths of the hidden layers")
    blocks: int = param(1, "conv: residual blocks of representation and dynamics each", low=1)
    head_width: int = param(64, "conv: numbers in which a head sees the whole board", low=1)

    def __check_init__(self):
        check_fields(self)
        require_discrete_actions("muzero", self.env.action_space)
        if self.network == "conv":
            require_board(self.env.observation_space)
        num_features(self.env.observation_space)
        needed = self._length + self.num_steps
        if self._rows < needed:
            raise UsageError(
                f"capacity is {self.capacity}, which is {self._rows} steps of each of {self.num_envs} worlds; learning "
                f"from {self._length} at a time needs a capacity of {(needed + self.num_steps) * self.num_envs} or more"
            )

    @property
    def iteration_steps(self) -> int:
        return self.num_envs * self.num_steps

    @property
    def _length(self) -> int:
        """Rows of a sequence to learn from: the unrolled ones, and those that the last one's value target needs."""
        return self.unroll_steps + self.td_steps + 1

    @property
    def _rows(self) -> int:
        """Rows of the replay, each a step of every world: a whole number of iterations."""
        return self.capacity // self.iteration_steps * self.num_steps

    def init(self, key: Key) -> State:
        net_key, worlds_key, key = jax.random.split(key, 3)
        net = self._networks(net_key)
        worlds = self._start(worlds_key)
        state = State(net, self._optimiser().init(net), Replay(None, jnp.int32(0)), worlds, key)
        played = jax.eval_shape(self._play, state, key)[1]
        row = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), played)
        return state._replace(replay=replay.empty(row, self._rows))

    def step(self, state: State) -> tuple[State, Metrics]:
        # play, and search part of the replay anew
        key, play_key, reanalyse_key, learn_key = jax.random.split(state.key, 4)
        worlds, played, metrics = self._play(state, play_key)
        memory = self._reanalyse(state.net, replay.add(state.replay, played), reanalyse_key)

        # learn; nothing changes, and metrics are NaN, as long as too little has been played
        learned, learning = self._improve(state, memory, learn_key)
        ready = (memory.added >= self._length) & (memory.added * self.num_envs >= self.learning_starts)
        net, optimiser_state = jax.tree.map(
            lambda new, old: jnp.where(ready, new, old), learned, (state.net, state.optimiser)
        )
        metrics |= jax.tree.map(lambda m: jnp.where(ready, m, jnp.nan), learning)
        return State(net, optimiser_state, memory, worlds, key), metrics

    def policy(self, state: State, greedy: bool = False) -> Policy:
        """Searches before every action, with all actions taken for legal; ``greedy``: without noise at the root."""
        shape = self.env.observation_space.shape or ()

        def policy(observation: Array, key: Key) -> Array:
            batch = observation.shape[: observation.ndim - len(shape)]
            found = self.plan(state.net, observation.reshape(-1, *shape), None, key, noise=0.0 if greedy else 1.0)
            return found.action.reshape(batch)

        return policy

    def predict(self, state: State, observation: Array) -> tuple[Array, Array]:
        """What the networks alone think: logits ``[..., U]``, legal or not, and the value for the player to move."""
        logits, value = state.net.predict(state.net.represent(self.network_input(observation)))
        return logits, expected_value(value, self.value_limit)

    def search(
        self, state: State, game_states: Any, positions: Position, key: Key, num_simulations: int | None = None
    ) -> SearchResult:
        """The move for each of ``B`` positions of a game, without noise; the states of the game are not looked at."""
        return self.plan(
            state.net, positions.observation, positions.legal, key, noise=0.0, num_simulations=num_simulations
        )

    def _networks(self, key: Key) -> Model:
        space, actions = self.env.observation_space, require_discrete_actions("muzero", self.env.action_space)
        if self.network == "conv":
            return BoardModel(
                require_board(space),
                actions,
                self.num_bins,
                width=self.width,
                num_blocks=self.blocks,
                head_width=self.head_width,
                key=key,
            )
        return WorldModel(num_features(space), self.width, self.hidden, actions, self.num_bins, key=key)

    def network_input(self, observation: Array) -> Array:
        """Observations as the networks take them: features ``[..., F]``, or the board for ``conv``."""
        if self.network == "conv":
            return observation.astype(jnp.float32)
        return features(self.env.observation_space, observation)

    def _optimiser(self) -> optax.GradientTransformation:
        updates = self.steps // self.iteration_steps * self.num_updates
        return optimiser.adam(self.learning_rate, self.max_grad_norm, anneal_over=updates)

    def _start(self, key: Key) -> Worlds | Games:
        if isinstance(self.env, Game):
            return self_play.start(self.env, self.num_envs, key, self.random_moves)
        return start(vectorize(self.env, self.num_envs), key)

    def plan(
        self,
        net: Model,
        observation: Array,
        legal: Array | None,
        key: Key,
        *,
        noise: float = 1.0,
        num_simulations: int | None = None,
    ) -> SearchResult:
        """Searches from ``N`` observations ``[N, ...]`` in the model.

        ``legal`` bool ``[N, U]`` (None: everything) holds at the root only: the model does not know the rules, so below
        the root any action may be tried.
        """
        # in games of two the next state's value is the other player's
        turn = -1.0 if isinstance(self.env, Game) and self.env.num_players == 2 else 1.0

        def judge(state: Array) -> tuple[Array, Array]:
            logits, value = net.predict(state)
            return logits, expected_value(value, self.value_limit)

        def model(state: Array, action: Array, key: Key) -> Branch:
            state, reward = net.advance(state, action)
            logits, value = judge(state)
            discount = jnp.full_like(value, self.discount * turn)
            return Branch(expected_value(reward, self.value_limit), discount, logits, value, state)

        state = net.represent(self.network_input(observation))
        logits, value = judge(state)
        allowed = jnp.ones(logits.shape, bool) if legal is None else legal
        root = Root(mask_illegal(logits, allowed), value, allowed, state)
        return gumbel(root, model, key, num_simulations or self.num_simulations, noise=noise)

    def _play(self, state: State, key: Key) -> tuple[Worlds | Games, Step, Metrics]:
        """``num_steps`` steps in every world, each found by search."""
        if isinstance(self.env, Game):
            return self._play_game(self.env, state, key)
        env = vectorize(self.env, self.num_envs)

        def act(observation: Array, key: Key) -> Choice:
            found = self.plan(state.net, observation, None, key)
            kept = {"value": found.value, "weights": found.weights}
            return Choice(found.action, found.log_prob(found.action), kept)

        worlds, trajectory, metrics = rollout(act, env, state.worlds, self.num_steps, key)
        value, weights = trajectory.extras["value"], trajectory.extras["weights"]
        step = Step(
            trajectory.observation,
            jnp.ones(weights.shape, bool),
            trajectory.action,
            trajectory.reward,
            trajectory.terminated,
            trajectory.truncated,
            jnp.ones_like(value),
            trajectory.mask,
            value,
            self._value(state.net, trajectory.next_observation),
            weights,
        )
        return worlds, step, metrics | {"search_value": value.mean()}

    def _play_game(self, game: Game, state: State, key: Key) -> tuple[Games, Step, Metrics]:
        def choose(_: Any, positions: Position, length: Array, key: Key) -> SearchResult:
            return self.plan(state.net, positions.observation, positions.legal, key)

        games, trajectory, searched, metrics = self_play.self_play(
            choose, game, state.worlds, self.num_steps, key, self.random_moves
        )
        step = Step(
            trajectory.observation,
            searched.legal,
            trajectory.action,
            trajectory.reward,
            trajectory.terminated,
            trajectory.truncated,
            jnp.where(searched.player == searched.next_player, 1.0, -1.0),
            trajectory.mask,
            searched.value,
            jnp.zeros_like(searched.value),  # games are never cut off
            searched.weights,
        )
        return games, step, metrics

    def _reanalyse(self, net: Model, memory: Replay, key: Key) -> Replay:
        """Searches a random part of the replay with the current network, and stores the new policies and values."""
        if self.reanalyse == 0:
            return memory
        place_key, search_key = jax.random.split(key)
        row, world = sequences.draw_starts(memory, place_key, self.reanalyse * self.iteration_steps, 1)
        steps = memory.storage
        observation, legal = sequences.read((steps.observation, steps.legal), row, world, 1)
        found = self.plan(net, observation[0], legal[0], search_key)
        place = row % self._rows, world
        policy, value = steps.policy.at[place].set(found.weights), steps.value.at[place].set(found.value)
        steps = steps._replace(policy=policy, value=value)
        return memory._replace(storage=steps)

    def _improve(self, state: State, memory: Replay, key: Key):
        """Gradient steps on sequences from the replay; returns (network, optimiser's state) and the metrics' means."""
        transform = self._optimiser()

        def gradient_step(carry, key: Key):
            net, optimiser_state = carry
            draw_key, turn_key, action_key = jax.random.split(key, 3)
            # draw, and turn boards at random
            window, observation, policy = self._sequences(state.net, memory, draw_key)
            action = window.action[: self.unroll_steps]
            if self.symmetries and isinstance(self.env, Game):
                moved = jax.nn.one_hot(action, policy.shape[-1])
                observation, policy, moved = random_symmetry(self.env, turn_key, observation, policy, moved)
                action = jnp.argmax(moved, axis=-1)

            # what the model should say; behind the end of an episode any action leads on
            target = targets(window, policy, self.discount, self.td_steps, self.unroll_steps)
            random = jax.random.randint(action_key, action.shape, 0, policy.shape[-1])
            action = jnp.where(target.playing[:-1], action, random)

            # descend
            gradient, metrics = jax.grad(self._loss, has_aux=True)(net, self.network_input(observation), action, target)
            updates, optimiser_state = transform.update(gradient, optimiser_state, net)
            return (optax.apply_updates(net, updates), optimiser_state), metrics

        carry, metrics = jax.lax.scan(
            gradient_step, (state.net, state.optimiser), jax.random.split(key, self.num_updates)
        )
        return carry, jax.tree.map(jnp.mean, metrics)

    def _sequences(self, net: Model, memory: Replay, key: Key) -> tuple[Step, Array, Array]:
        """A batch of play: steps ``[K + n + 1, N]``, the first observations ``[N, ...]``, policies ``[K + 1, N, U]``.

        With reanalysis targets are bootstrapped from the current network's values: those of searches long ago would
        hold learning back.
        """
        row, world = sequences.draw_starts(memory, key, self.batch_size, self._length)
        steps, unrolled = memory.storage, self.unroll_steps + 1
        observation = sequences.read(steps.observation, row, world, 1)[0]
        policy = sequences.read(steps.policy, row, world, unrolled)
        numbers = steps._replace(observation=None, legal=None, policy=None)
        window = sequences.read(numbers, row, world, self._length)
        if self.reanalyse > 0:
            later = sequences.read(steps.observation, row + self.td_steps, world, unrolled)
            window = window._replace(value=window.value.at[self.td_steps :].set(self._value(net, later)))
        return window, observation, policy

    def _value(self, net: Model, observation: Array) -> Array:
        value = net.predict(net.represent(self.network_input(observation)))[1]
        return expected_value(value, self.value_limit)

    def _loss(self, net: Model, x: Array, action: Array, target: Targets) -> tuple[Array, Metrics]:
        """Cross-entropies of policy, value and reward along K unrolled steps from ``x [N, ...]``, ``action [K, N]``.

        The first step counts 1, each later one 1/K (appendix G).
        """
        policies, values, rewards = unroll(net, x, action)
        weight = jnp.concatenate([jnp.ones(1), jnp.full(self.unroll_steps, 1 / self.unroll_steps)])

        def cross_entropy(logits: Array, target: Array, mask: Array, weight: Array) -> Array:
            error = optax.safe_softmax_cross_entropy(logits, target)
            return (weight * jnp.where(mask, error, 0.0).mean(axis=1)).sum()

        def categories(x: Array) -> Array:
            return two_hot(x, self.value_limit, self.num_bins)

        policy_loss = cross_entropy(policies, target.policy, target.playing, weight)
        value_loss = cross_entropy(values, categories(target.value), target.valued, weight)
        reward_loss = cross_entropy(rewards, categories(target.reward), target.known[1:], weight[1:])
        loss = policy_loss + self.value_coef * value_loss + reward_loss
        value_error = jnp.abs(expected_value(values[0], self.value_limit) - target.value[0])
        reward_error = jnp.abs(expected_value(rewards, self.value_limit) - target.reward)
        metrics = {
            "loss": loss,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "reward_loss": reward_loss,
            "value_error": value_error.mean(),
            "reward_error": masked_mean(reward_error, target.known[1:]),
        }
        return loss, metrics
