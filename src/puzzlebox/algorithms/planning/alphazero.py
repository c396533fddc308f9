"""AlphaZero: a network and a tree search that teach each other by self-play (Silver et al. 2017, 2018).

Idea: the search, guided by the network, plays better than the network alone. So the network learns to predict what the
search chose (policy) and who won (value), and thereby improves the next search. It needs no human games and no
knowledge of the game but its rules.

Departures: Gumbel search by default (Danihelka et al. 2022), which improves a policy with few simulations; PUCT is an
option. A replay of recent positions instead of stored games: a position teaches its policy at once, and its value as
soon as its game is over. The network that plays is a moving average of the one that learns, and is not tested against
its predecessor. Games may open with random moves, so that more than the best lines are learned. Decoupled weight decay
(AdamW).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from puzzlebox.acting import search
from puzzlebox.acting.search import SearchResult
from puzzlebox.acting.self_play import Games
from puzzlebox.algorithms.planning import learner
from puzzlebox.algorithms.planning.learner import Remembered, State
from puzzlebox.fields import check_fields, param
from puzzlebox.nets.board import BoardNetwork
from puzzlebox.types import Array, Game, Key, Metrics, Policy, Position


class AlphaZero(eqx.Module):
    """Self-play with tree search; games with known rules."""

    playing_members = ("average",)  # of the state; the rest is for learning

    env: Game
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
    start: str = param("", "a run of clone or alphazero whose network it begins with; empty: it knows nothing")
    random_moves: int = param(2, "first moves of a game that are random: a number from 0 to this", low=0)
    search_share: float = param(
        0.0, "share of the search's value in the value target; the rest is z", low=0.0, high=1.0
    )
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

    def __check_init__(self):
        check_fields(self)
        learner.check("alphazero", self)

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
        """The best moves in ``B`` positions, as one agent plays when it is not learning: without noise.

        Leaves of ``game_states`` and ``positions`` are ``[B, ...]``. Deterministic: ``key`` is not used.
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
        """Self-play with moves found by search."""

        def choose(states: Any, positions: Position, length: Array, key: Key) -> SearchResult:
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
            # the first moves of a game are drawn from the improved policy, for variety
            drawn = jax.random.categorical(draw_key, jnp.log(found.weights))
            return found._replace(action=jnp.where(draws, drawn, found.action).astype(jnp.int32))

        return learner.play_moves(self, choose, worlds, key)
