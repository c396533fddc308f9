"""What AlphaZero and cloning share: moves go into a replay, a board network learns from it, its moving average plays.

The two differ in who chooses the moves. Settings are read from ``agent``, the algorithm, whose fields have the same
names in both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from puzzlebox.acting import search
from puzzlebox.acting.self_play import Games, SearchRecord, outcome, self_play, start
from puzzlebox.algorithms.planning.symmetry import random_symmetry
from puzzlebox.data import replay
from puzzlebox.data.replay import Replay
from puzzlebox.errors import UsageError
from puzzlebox.nets.board import BoardNetwork, require_board
from puzzlebox.ops import schedules
from puzzlebox.ops.masks import masked_mean
from puzzlebox.ops.value_losses import squared_error
from puzzlebox.types import Array, Game, Key, Metrics, Policy


class Remembered(NamedTuple):
    """One move in the replay."""

    observation: Array
    mask: Array  # False for a random move, from which nothing is learned
    searched: SearchRecord


class State(NamedTuple):
    net: BoardNetwork
    average: BoardNetwork  # the one that plays
    optimiser: optax.OptState
    replay: Replay
    iteration: Array
    worlds: Games
    key: Key


Choose = Callable[..., search.SearchResult]  # (states, positions, moves made [B], key) -> SearchResult
Play = Callable[[BoardNetwork, Games, Key], tuple[Games, Remembered, Metrics]]


def check(name: str, agent: Any) -> None:
    """Raises UsageError for a world that is no game, a board that the network cannot read, and too small a replay."""
    if not isinstance(agent.env, Game):
        raise UsageError(f"{name} plays games with known rules, such as tic_tac_toe; this world is none")
    if agent.network == "conv":
        require_board(agent.env.observation_space)
    if agent.capacity < agent.iteration_steps:
        raise UsageError(f"capacity is {agent.capacity}; it must hold one iteration of {agent.iteration_steps} moves")


def initial_state(agent: Any, play: Play, key: Key) -> State:
    """The state before training, with an empty replay for moves like those that ``play`` makes."""
    net_key, worlds_key, key = jax.random.split(key, 3)
    iterations = agent.capacity // agent.iteration_steps
    remember = iterations * agent.num_steps + 1  # the most games of a board that the replay can hold: one per move
    worlds = start(agent.env, agent.num_envs, worlds_key, agent.random_moves, remember)
    net = BoardNetwork(
        agent.env.observation_space.shape,
        int(agent.env.action_space.n),
        conv=agent.network == "conv",
        width=agent.width,
        num_blocks=agent.blocks,
        head_width=agent.head_width,
        key=net_key,
    )
    example = jax.eval_shape(lambda worlds: play(net, worlds, key)[1], worlds)
    example = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), example)
    memory = replay.empty(example, iterations * agent.iteration_steps)
    return State(net, net, optimiser(agent).init(net), memory, jnp.int32(0), worlds, key)


def play_and_learn(agent: Any, play: Play, state: State) -> tuple[State, Metrics]:
    """One iteration: ``play`` makes moves, which go into the replay; then gradient steps on moves drawn from it."""
    # play
    key, play_key, sample_key, turn_key = jax.random.split(state.key, 4)
    worlds, moves, metrics = play(state.average, state.worlds, play_key)
    memory = replay.add(state.replay, moves)
    batches = replay.sample(memory, sample_key, (agent.num_updates, agent.batch_size))

    # learn; nothing changes, and metrics are NaN, as long as too little has been played
    learned, learning = improve(agent, state, worlds, batches, turn_key)
    ready = memory.added > agent.learning_starts
    old = (state.net, state.average, state.optimiser)
    net, average, optimiser_state = jax.tree.map(lambda new, old: jnp.where(ready, new, old), learned, old)
    metrics |= jax.tree.map(lambda m: jnp.where(ready, m, jnp.nan), learning)
    return State(net, average, optimiser_state, memory, state.iteration + 1, worlds, key), metrics


def play_moves(agent: Any, choose: Choose, worlds: Games, key: Key) -> tuple[Games, Remembered, Metrics]:
    """``num_steps`` moves on every board; the moves are rows ``[T · B, ...]``."""
    worlds, trajectory, searched, metrics = self_play(
        choose, agent.env, worlds, agent.num_steps, key, agent.random_moves
    )
    moves = Remembered(trajectory.observation, trajectory.mask, searched)
    return worlds, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), moves), metrics


def policy(state: State, greedy: bool) -> Policy:
    """The network alone, without search; it does not see which moves are legal."""

    def choose(observation: Array, key: Key) -> Array:
        logits, _ = state.average(observation)
        return jnp.argmax(logits, axis=-1) if greedy else jax.random.categorical(key, logits)

    return choose


def optimiser(agent: Any) -> optax.GradientTransformation:
    """AdamW on clipped gradients; the step size falls linearly to a twentieth over ``anneal_over`` moves."""
    moves = min(agent.anneal_over or agent.steps, agent.steps)
    updates = moves // agent.iteration_steps * agent.num_updates
    rate = schedules.linear(agent.learning_rate, 0.05 * agent.learning_rate, float(updates))  # may exceed an int32
    return optax.chain(
        optax.clip_by_global_norm(agent.max_grad_norm), optax.adamw(rate, weight_decay=agent.weight_decay)
    )


def improve(agent: Any, state: State, worlds: Games, batches: Remembered, key: Key):
    """One gradient step per batch, leaves ``[num_updates, batch_size, ...]``.

    Returns (network, average, optimiser's state) and the metrics' means.
    """
    transform = optimiser(agent)

    def gradient_step(carry, inputs):
        net, average, optimiser_state = carry
        batch, key = inputs
        gradient, metrics = jax.grad(loss, argnums=1, has_aux=True)(agent, net, worlds, batch, key)
        updates, optimiser_state = transform.update(gradient, optimiser_state, net)
        net = optax.apply_updates(net, updates)
        average = jax.tree.map(lambda a, n: a + agent.average_rate * (n - a), average, net)
        return (net, average, optimiser_state), metrics

    carry = (state.net, state.average, state.optimiser)
    carry, metrics = jax.lax.scan(gradient_step, carry, (batches, jax.random.split(key, agent.num_updates)))
    return carry, jax.tree.map(jnp.nanmean, metrics)


def loss(agent: Any, net: BoardNetwork, worlds: Games, batch: Remembered, key: Key) -> tuple[Array, Metrics]:
    """value_coef · (z − v)² + cross-entropy of the policy with the search's weights, means over a batch ``[N, ...]``.

    z is the outcome of the game for the player who moved; where the game is not over, the value teaches nothing. Where
    the move was random, neither does. ``search_share`` of the value's target is the search's value instead of z.
    """
    # targets, looked up in the results of the boards' games
    found, share = batch.searched, agent.search_share
    z, known = outcome(worlds, found.board, found.game, found.player, found.paid)
    target = (1 - share) * z + share * found.value
    observation, legal, weights = batch.observation, found.legal, found.weights
    if agent.symmetries:
        observation, legal, weights = random_symmetry(agent.env, key, observation, legal, weights)

    # losses; where a weight is 0 so is its term, which −inf · 0 would not be
    logits, value = net(observation)
    log_probs = jax.nn.log_softmax(search.mask_illegal(logits, legal))
    cross_entropy = -(weights * jnp.where(weights > 0, log_probs, 0.0)).sum(axis=-1)
    entropy = -(jnp.exp(log_probs) * jnp.where(legal, log_probs, 0.0)).sum(axis=-1)
    policy_loss = masked_mean(cross_entropy, batch.mask)
    value_loss = masked_mean(squared_error(value, target), batch.mask & known)
    total = policy_loss + agent.value_coef * value_loss
    metrics = {
        "loss": total,
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": masked_mean(entropy, batch.mask),
    }
    return total, metrics
