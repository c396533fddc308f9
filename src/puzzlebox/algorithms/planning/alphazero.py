"""AlphaZero: a network and a tree search that teach each other by self-play (Silver et al. 2017, 2018).

Idea: the search, guided by the network, plays better than the network alone. So the network learns to predict what the
search chose (policy) and who won (value), and makes the next search better. No human games, no rules of thumb.

Departures: Gumbel search by default (Danihelka et al. 2022), which improves a policy with few simulations, PUCT as a
choice. A replay of the last positions in the place of stored games; a position is learned from at once for its policy,
and for its value as soon as its game is over. The network that plays is a moving average of the one that learns, and
there is no gate that it must pass. Games may begin with random moves, so that more than the best lines are learned.
Decoupled weight decay (AdamW).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting import search
from puzzlebox.acting.search import Found
from puzzlebox.acting.self_play import Games, Searched, outcome, self_play, start
from puzzlebox.data import replay
from puzzlebox.data.replay import Replay
from puzzlebox.errors import UsageError
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.board import BoardNetwork
from puzzlebox.ops.masks import masked_mean
from puzzlebox.ops.value_losses import squared_error
from puzzlebox.types import Array, Game, Key, Metrics, Policy, Position


class Remembered(NamedTuple):
    """One move in the replay."""

    observation: Array
    mask: Array  # False for a random move, from which nothing is learned
    searched: Searched


class State(NamedTuple):
    net: BoardNetwork
    average: BoardNetwork  # the one that plays
    optimiser: optax.OptState
    replay: Replay
    iteration: Array
    worlds: Games
    key: Key


class AlphaZero(eqx.Module):
    """Self-play with tree search; games with known rules."""

    playing_members = ("average",)  # of the state; the rest is for learning

    env: Any
    steps: int = param(200_000, "moves of self-play of the whole training", low=1)
    num_envs: int = param(64, "games at once", low=1)
    num_steps: int = param(8, "moves per game and iteration", low=1)
    num_simulations: int = param(32, "simulations per move", low=1)
    search_by: str = param("gumbel", "how the search chooses where to look", choices=("gumbel", "puct"))
    num_considered: int = param(16, "gumbel: moves that the root tries at most", low=1)
    value_scale: float = param(0.1, "gumbel: weight of Q values beside logits", low=0.0)
    dirichlet: float = param(0.3, "puct: concentration of the root's noise", low=1e-3)
    noise: float = param(0.25, "puct: share of the root's noise", low=0.0, high=1.0)
    exploration: float = param(1.25, "puct: c, the weight of likely and little visited moves", low=0.0)
    sampled_moves: int = param(0, "first moves of a game drawn from the improved policy; puct needs some", low=0)
    random_moves: int = param(2, "first moves of a game that are random: a number from 0 to this", low=0)
    search_share: float = param(
        0.0, "share of the search's value in the value target; the rest is z", low=0.0, high=1.0
    )
    symmetries: bool = param(True, "learn from every position turned at random where the board allows it")
    capacity: int = param(32_768, "positions that the replay remembers, about", low=1)
    learning_starts: int = param(2_000, "positions before the first gradient step", low=0)
    num_updates: int = param(16, "gradient steps per iteration", low=1)
    batch_size: int = param(256, "positions per gradient step", low=1)
    learning_rate: float = param(2e-3, "Adam's step size", low=0.0)
    weight_decay: float = param(1e-4, "shrinks weights by this share of the step size", low=0.0)
    value_coef: float = param(1.0, "weight of the value's loss", low=0.0)
    max_grad_norm: float = param(5.0, "gradients longer than this are shortened to it", low=0.0)
    average_rate: float = param(
        0.02, "share of the learning network that enters the playing one per step", low=0.0, high=1.0
    )
    network: str = param("mlp", "conv sees the board as a picture, mlp as a list", choices=("conv", "mlp"))
    width: int = param(128, "channels of conv, numbers of mlp", low=1)
    blocks: int = param(2, "residual blocks", low=0)
    head_width: int = param(64, "numbers in which both heads see the whole board", low=1)

    def __check_init__(self):
        check_fields(self)
        check_game("alphazero", self.env)
        if self.network == "conv" and len(self.env.observation_space.shape) != 3:
            raise UsageError(
                f"network is conv, which needs a board of height × width × planes; this game shows "
                f"{self.env.observation_space.shape}: take mlp"
            )
        if self.capacity < self.iteration_steps:
            raise UsageError(f"capacity is {self.capacity}; it must hold one iteration of {self.iteration_steps} moves")

    @property
    def iteration_steps(self) -> int:
        return self.num_envs * self.num_steps

    def init(self, key: Key) -> State:
        net_key, worlds_key, key = jax.random.split(key, 3)
        iterations = self.capacity // self.iteration_steps
        remember = iterations * self.num_steps + 1  # games that end within the replay's memory, at most one per move
        worlds = start(self.env, self.num_envs, worlds_key, self.random_moves, remember)
        net = BoardNetwork(
            self.env.observation_space.shape,
            int(self.env.action_space.n),
            conv=self.network == "conv",
            width=self.width,
            num_blocks=self.blocks,
            head_width=self.head_width,
            key=net_key,
        )
        example = jax.eval_shape(lambda worlds: self._play(net, worlds, key)[1], worlds)
        example = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), example)
        memory = replay.empty(example, iterations * self.iteration_steps)
        return State(net, net, self._optimiser().init(net), memory, jnp.int32(0), worlds, key)

    def step(self, state: State) -> tuple[State, Metrics]:
        key, play_key, sample_key, turn_key = jax.random.split(state.key, 4)
        worlds, moves, metrics = self._play(state.average, state.worlds, play_key)
        memory = replay.add(state.replay, moves)
        batches = replay.sample(memory, sample_key, (self.num_updates, self.batch_size))
        learned, learning = self._improve(state, worlds, batches, turn_key)
        ready = memory.added > self.learning_starts
        old = (state.net, state.average, state.optimiser)
        net, average, optimiser_state = jax.tree.map(lambda new, old: jnp.where(ready, new, old), learned, old)
        metrics |= jax.tree.map(lambda m: jnp.where(ready, m, jnp.nan), learning)
        return State(net, average, optimiser_state, memory, state.iteration + 1, worlds, key), metrics

    def policy(self, state: State, greedy: bool = False) -> Policy:
        """The network alone, without search; it does not see which moves are legal. `search` plays."""

        def policy(observation: Array, key: Key) -> Array:
            logits, _ = state.average(observation)
            return jnp.argmax(logits, axis=-1) if greedy else jax.random.categorical(key, logits)

        return policy

    def predict(self, state: State, observation: Array) -> tuple[Array, Array]:
        """What the network alone thinks: logits ``[..., U]``, legal or not, and the value for the player to move."""
        return state.average(observation)

    def search(self, state: State, game_states: Any, positions: Position, key: Key, num_simulations: int) -> Found:
        """The best move of one agent in ``B`` positions, as it plays when it is not learning: without noise.

        The same position, the same move: ``key`` is not used.
        """
        key = jax.random.key(0)
        root, model = search.known_rules(self.env, state.average, game_states, positions)
        if self.search_by == "puct":
            return search.puct(
                root, model, key, num_simulations, noise=0.0, exploration=self.exploration, temperature=0.0
            )
        return search.gumbel(
            root,
            model,
            key,
            num_simulations,
            noise=0.0,
            considered=self.num_considered,
            value_scale=self.value_scale,
        )

    def _play(self, net: BoardNetwork, worlds: Games, key: Key) -> tuple[Games, Remembered, Metrics]:
        """Self-play; the moves come as rows ``[T·B, ...]``."""

        def choose(states: Any, positions: Position, length: Array, key: Key) -> Found:
            search_key, draw_key = jax.random.split(key)
            root, model = search.known_rules(self.env, net, states, positions)
            draws = length < self.sampled_moves
            if self.search_by == "puct":
                return search.puct(
                    root,
                    model,
                    search_key,
                    self.num_simulations,
                    noise=self.noise,
                    dirichlet=self.dirichlet,
                    exploration=self.exploration,
                    temperature=jnp.where(draws, 1.0, 0.0),
                )
            found = search.gumbel(
                root,
                model,
                search_key,
                self.num_simulations,
                considered=self.num_considered,
                value_scale=self.value_scale,
            )
            drawn = jax.random.categorical(draw_key, jnp.log(found.weights))
            return found._replace(action=jnp.where(draws, drawn, found.action).astype(jnp.int32))

        worlds, trajectory, searched, metrics = self_play(
            choose, self.env, worlds, self.num_steps, key, self.random_moves
        )
        moves = Remembered(trajectory.observation, trajectory.mask, searched)
        return worlds, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), moves), metrics

    def _optimiser(self) -> optax.GradientTransformation:
        return optax.chain(
            optax.clip_by_global_norm(self.max_grad_norm),
            optax.adamw(self.learning_rate, weight_decay=self.weight_decay),
        )

    def _improve(self, state: State, worlds: Games, batches: Remembered, key: Key):
        transform = self._optimiser()

        def gradient_step(carry, inputs):
            net, average, optimiser_state = carry
            batch, key = inputs
            gradient, metrics = jax.grad(self._loss, has_aux=True)(net, worlds, batch, key)
            updates, optimiser_state = transform.update(gradient, optimiser_state, net)
            net = optax.apply_updates(net, updates)
            average = jax.tree.map(lambda a, n: a + self.average_rate * (n - a), average, net)
            return (net, average, optimiser_state), metrics

        carry = (state.net, state.average, state.optimiser)
        carry, metrics = jax.lax.scan(gradient_step, carry, (batches, jax.random.split(key, self.num_updates)))
        return carry, jax.tree.map(jnp.nanmean, metrics)

    def _loss(self, net: BoardNetwork, worlds: Games, batch: Remembered, key: Key) -> tuple[Array, Metrics]:
        """(z − v)² + cross-entropy; z only where the game is over, both only where the move was searched."""
        found = batch.searched
        z, known = outcome(worlds, found.board, found.game, found.player, found.paid)
        target = (1 - self.search_share) * z + self.search_share * found.value
        observation, legal, weights = batch.observation, found.legal, found.weights
        if self.symmetries:
            observation, legal, weights = turn(self.env, key, observation, legal, weights)
        logits, value = net(observation)
        log_probs = jax.nn.log_softmax(search.mask(logits, legal))
        cross_entropy = -(weights * jnp.where(weights > 0, log_probs, 0.0)).sum(axis=-1)
        entropy = -(jnp.exp(log_probs) * jnp.where(legal, log_probs, 0.0)).sum(axis=-1)
        policy_loss = masked_mean(cross_entropy, batch.mask)
        value_loss = masked_mean(squared_error(value, target), batch.mask & known)
        loss = policy_loss + self.value_coef * value_loss
        metrics = {
            "loss": loss,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": masked_mean(entropy, batch.mask),
        }
        return loss, metrics


def check_game(algorithm: str, env: Any) -> None:
    """Raises UsageError for a world that is no game."""
    if not isinstance(env, Game):
        raise UsageError(f"{algorithm} plays games with known rules, such as tic_tac_toe; this world is none")


def turn(game: Game, key: Key, observation: Array, legal: Array, weights: Array) -> tuple[Array, Array, Array]:
    """``N`` positions, each turned by a symmetry of the board drawn at random, with what belongs to their moves."""
    table = game.symmetries()
    chosen = jax.random.randint(key, (len(observation),), 0, len(table.action))
    squares, moves = jnp.asarray(table.observation)[chosen], jnp.asarray(table.action)[chosen]
    flat = observation.reshape(len(observation), -1)
    turned = jnp.take_along_axis(flat, squares, axis=-1).reshape(observation.shape)
    return turned, jnp.take_along_axis(legal, moves, axis=-1), jnp.take_along_axis(weights, moves, axis=-1)
