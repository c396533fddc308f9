"""Behaviour cloning, the first step of AlphaGo (Silver et al. 2016): learn a teacher's moves, and who won its games.

Idea: before AlphaGo ever played against itself, it learned to predict human moves in thirty million positions, and was
strong by that alone. The teacher here is plain tree search with random playouts, which plays against itself, so we can
generate its games. The network learns the share of visits that the teacher gave to every move, and how the game ended.
``alphazero --start RUN`` continues from there by self-play.

Departures: games of a searching teacher instead of a library of human ones; shares of visits instead of the one move
played, which carry more information per position; policy and value are one network, AlphaZero's, learned together.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from puzzlebox.acting.search import SearchResult, gumbel, known_rules
from puzzlebox.acting.self_play import Games
from puzzlebox.acting.uct import uct
from puzzlebox.algorithms.planning import learner
from puzzlebox.algorithms.planning.learner import Remembered, State
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.board import BoardNetwork
from puzzlebox.types import Array, Game, Key, Metrics, Policy, Position


class Clone(eqx.Module):
    """A network that imitates plain tree search; games with known rules."""

    playing_members = ("average",)  # of the state; the rest is for learning
    search_share = 0.0  # the value learns who won, nothing of what the teacher thought

    env: Game
    steps: int = param(100_000, "moves of the teacher's games of the whole training", low=1)
    num_envs: int = param(64, "games at once", low=1)
    num_steps: int = param(8, "moves per game and iteration", low=1)
    teacher_simulations: int = param(200, "random games per move of the teacher", low=1)
    random_moves: int = param(2, "first moves of a game that are random: a number from 0 to this", low=0)
    symmetries: bool = param(True, "learn from every position turned at random where the board allows it")
    capacity: int = param(32_768, "positions that the replay remembers, about", low=1)
    learning_starts: int = param(2_000, "positions before the first gradient step", low=0)
    num_updates: int = param(16, "gradient steps per iteration", low=1)
    batch_size: int = param(256, "positions per gradient step", low=1)
    learning_rate: float = param(2e-3, "Adam's step size at the start", low=0.0)
    anneal_over: int = param(0, "moves over which it falls to a twentieth, and stays; 0: the whole training", low=0)
    weight_decay: float = param(1e-4, "shrinks weights by this share of the step size", low=0.0)
    value_coef: float = param(1.0, "weight of the value's loss", low=0.0)
    max_grad_norm: float = param(5.0, "gradients with a larger global norm are clipped to it", low=0.0)
    average_rate: float = param(
        0.02, "share of the learning network that enters the playing one per step", low=0.0, high=1.0
    )
    network: str = param("mlp", "conv sees the board as a picture, mlp as a list", choices=("conv", "mlp"))
    width: int = param(128, "channels of conv, numbers of mlp", low=1)
    blocks: int = param(2, "residual blocks", low=0)
    head_width: int = param(64, "numbers in which both heads see the whole board", low=1)
    num_simulations: int = param(32, "simulations per move when the network plays, as in alphazero", low=1)

    def __check_init__(self):
        check_fields(self)
        learner.check("clone", self)

    @property
    def iteration_steps(self) -> int:
        return self.num_envs * self.num_steps

    def init(self, key: Key) -> State:
        return learner.initial_state(self, self._play, key)

    def step(self, state: State) -> tuple[State, Metrics]:
        return learner.play_and_learn(self, self._play, state)

    def policy(self, state: State, greedy: bool = False) -> Policy:
        """The network alone, without search; it does not see which moves are legal. `search` plays."""
        return learner.policy(state, greedy)

    def predict(self, state: State, observation: Array) -> tuple[Array, Array]:
        """What the network alone thinks: logits ``[..., U]``, legal or not, and the value for the player to move."""
        return state.average(observation)

    def search(
        self, state: State, game_states: Any, positions: Position, key: Key, num_simulations: int
    ) -> SearchResult:
        """The best move in ``B`` positions, found as AlphaZero finds it, without noise; ``key`` is not used."""
        root, model = known_rules(self.env, state.average, game_states, positions)
        return gumbel(root, model, jax.random.key(0), num_simulations, noise=0.0)

    def teach(self, states: Any, positions: Position, length: Array, key: Key) -> SearchResult:
        """What the teacher finds in ``B`` positions; ``weights`` are the shares of its visits.

        It plays the most visited move; the mean outcome, which lies in [−1, 1], only breaks ties of whole visits.
        """
        visits, outcome = uct(self.env, states, positions, key, self.teacher_simulations)
        weights = visits / visits.sum(axis=-1, keepdims=True)
        action = jnp.argmax(jnp.where(positions.legal, visits + 0.25 * outcome, -jnp.inf), axis=-1)
        return SearchResult(action.astype(jnp.int32), visits, (weights * outcome).sum(axis=-1), weights)

    def _play(self, net: BoardNetwork, worlds: Games, key: Key) -> tuple[Games, Remembered, Metrics]:
        """The teacher plays against itself; the network only watches."""
        return learner.play_moves(self, self.teach, worlds, key)
