"""Monte Carlo tree search, batched. mctx holds the trees and has the formulas, `simulations` walks the trees; this is
the interface that the rest of Puzzlebox uses.

Two rules for which action to visit. `gumbel` (Danihelka et al. 2022, Gumbel MuZero): the root's candidates are drawn
without replacement and halved step by step, which improves the policy even with few simulations. `puct` (Silver et al.
2017; Schrittwieser et al. 2020): a bonus for likely and little visited actions, with Dirichlet noise on the root.

Both search any `Model`: `known_rules` makes one of a game whose rules are known; a learned model is another. An
illegal action is never visited, neither at the root nor within the tree.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mctx

from puzzlebox.acting.simulations import Choose, simulations
from puzzlebox.types import Array, Game, Key, Position

ILLEGAL = float(jnp.finfo(jnp.float32).min)  # finite: a softmax over nothing else has no NaN


class Root(NamedTuple):
    """Where ``B`` searches begin: logits of the prior, value for the player to move, what the model needs."""

    logits: Array  # [B, U]
    value: Array  # [B]
    legal: Array  # bool [B, U]
    embedding: Any  # leaves [B, ...], the state that the model goes on from


class Branch(NamedTuple):
    """What follows an action, by the model.

    Q(s, a) = ``reward`` + ``discount`` · value of what follows. The reward is that of the player who moved; the
    discount is negative where the other player moves next (whose gain is this one's loss) and 0 where the game ended.
    """

    reward: Array  # [B]
    discount: Array  # [B]
    logits: Array  # [B, U], illegal actions at ILLEGAL
    value: Array  # [B], for the player who moves next
    embedding: Any


class SearchResult(NamedTuple):
    """What a search returns: the action to take, how often each was visited, and the value for the player to move.

    ``weights`` is the improved policy, which the network learns to predict: softmax(logits + scaled completed Q values)
    after `gumbel`, the shares of the visits after `puct`.
    """

    action: Array  # int32 [B]
    visits: Array  # float32 [B, U], sums to the number of simulations
    value: Array  # float32 [B]
    weights: Array  # float32 [B, U], sums to 1

    def log_prob(self, action: Array) -> Array:
        """log of what ``weights`` give to ``action [B]``; very negative but finite where that is 0."""
        chosen = self.weights[jnp.arange(action.shape[0]), action]
        return jnp.log(jnp.maximum(chosen, jnp.finfo(jnp.float32).tiny))


Model = Callable[[Any, Array, Key], Branch]  # (embedding, action [B], key) -> Branch
Evaluate = Callable[[Array], tuple[Array, Array]]  # observation [B, ...] -> (logits [B, U], value [B])


def gumbel(
    root: Root,
    model: Model,
    key: Key,
    num_simulations: int,
    *,
    noise: float = 1.0,
    considered: int = 16,
    value_scale: float = 0.1,
    rescale: bool = True,
) -> SearchResult:
    """Gumbel search: sequential halving at the root, then the action with the highest Gumbel + logit + scaled Q.

    ``noise`` scales the Gumbel noise, 0 makes the search deterministic. ``considered`` is the most actions that the
    root tries. A Q value weighs ``value_scale`` · (50 + most visits of any action) logits; with ``rescale`` the Q
    values of a node are first rescaled to [0, 1]. The value returned is the mean Q under the improved policy, not the
    mean over visits, since sequential halving visits bad actions too often for that.
    """

    def transform(value_scale: Array | float) -> Callable[..., Array]:
        return functools.partial(
            mctx.qtransform_completed_by_mix_value, value_scale=value_scale, rescale_values=rescale
        )

    def at_root(tree: mctx.Tree, node: Array, _: Array, value_scale: Array) -> Array:
        return mctx.gumbel_muzero_root_action_selection(
            None,
            tree,
            node,
            num_simulations=num_simulations,
            max_num_considered_actions=considered,
            qtransform=transform(value_scale),
        )

    def below(tree: mctx.Tree, node: Array, depth: Array, value_scale: Array) -> Array:
        return mctx.gumbel_muzero_interior_action_selection(None, tree, node, depth, qtransform=transform(value_scale))

    output = mctx.gumbel_muzero_policy(
        **_arguments(root, model, key, num_simulations, at_root, below, value_scale),
        qtransform=transform(value_scale),
        max_num_considered_actions=considered,
        gumbel_scale=noise,
    )
    # The mean Q under the improved policy, over the actions that were visited; mctx's own value is a mean over visits.
    summary = output.search_tree.summary()
    tried = jnp.where(summary.visit_counts > 0, output.action_weights, 0.0)
    total = tried.sum(axis=-1)
    mean = (tried * summary.qvalues).sum(axis=-1) / jnp.maximum(total, jnp.finfo(total.dtype).tiny)
    return _result(output, summary, jnp.where(total > 0, mean, summary.value))


def puct(
    root: Root,
    model: Model,
    key: Key,
    num_simulations: int,
    *,
    noise: float = 0.25,
    dirichlet: float = 0.3,
    exploration: float = 1.25,
    temperature: Array | float = 1.0,
) -> SearchResult:
    """PUCT search: visits a with the highest Q(s, a) + c · P(a) √N / (1 + N(a)); acts like visits^(1/temperature).

    ``noise`` is the share of Dirichlet(``dirichlet``) noise in the root's prior, ``exploration`` is c without its slow
    growth, ``temperature`` a number or ``[B]``; 0 takes the most visited action.
    """

    def choose(tree: mctx.Tree, node: Array, depth: Array, exploration: Array) -> Array:
        key = jax.random.fold_in(jax.random.key(0), depth)  # only breaks ties
        return mctx.muzero_action_selection(key, tree, node, depth, pb_c_init=exploration)

    output = mctx.muzero_policy(
        **_arguments(root, model, key, num_simulations, choose, choose, exploration),
        dirichlet_fraction=noise,
        dirichlet_alpha=dirichlet,
        pb_c_init=exploration,
        temperature=jnp.broadcast_to(jnp.asarray(temperature, jnp.float32), root.value.shape)[:, None],
    )
    summary = output.search_tree.summary()
    return _result(output, summary, summary.value)


def known_rules(game: Game, evaluate: Evaluate, states: Any, positions: Position) -> tuple[Root, Model]:
    """The search problem of ``B`` games whose rules are known: leaves of ``states`` and ``positions`` are ``[B, ...]``.

    ``evaluate`` estimates logits and value for the player to move from an observation. Where a game has chance, a
    move's outcome is drawn once and then belongs to the tree.
    """
    logits, value = evaluate(positions.observation)
    root = Root(mask_illegal(logits, positions.legal), value, positions.legal, (states, positions.player))

    def model(embedding: Any, action: Array, key: Key) -> Branch:
        state, mover = embedding
        batch = mover.shape[0]
        state, position = jax.vmap(game.step)(state, action, jax.random.split(key, batch))
        logits, value = evaluate(position.observation)
        return Branch(
            reward=position.reward[jnp.arange(batch), mover],
            discount=discount(mover, position.player, position.terminated),
            logits=mask_illegal(logits, position.legal),
            value=value,
            embedding=(state, position.player),
        )

    return root, model


def discount(mover: Array, player: Array, terminated: Array) -> Array:
    """The weight of the next player's value for the mover, ``[B]``: 1 if they are the same, −1 if not, 0 at the end."""
    return jnp.where(terminated, 0.0, jnp.where(mover == player, 1.0, -1.0))


def mask_illegal(logits: Array, legal: Array) -> Array:
    """``logits [..., U]`` with the highest at 0 and those of illegal actions at a very negative finite number."""
    return jnp.where(legal, logits - logits.max(axis=-1, keepdims=True), ILLEGAL)


def _arguments(
    root: Root, model: Model, key: Key, num_simulations: int, at_root: Choose, below: Choose, number: Array | float
) -> dict[str, Any]:
    def recurrent(_: Any, key: Key, action: Array, embedding: Any) -> tuple[Any, Any]:
        branch = model(embedding, action, key)
        output = mctx.RecurrentFnOutput(
            reward=branch.reward, discount=branch.discount, prior_logits=branch.logits, value=branch.value
        )
        return output, branch.embedding

    return {
        "params": (),
        "rng_key": key,
        "root": mctx.RootFnOutput(prior_logits=root.logits, value=root.value, embedding=root.embedding),
        "recurrent_fn": recurrent,
        "num_simulations": num_simulations,
        "invalid_actions": ~root.legal,
        "loop_fn": simulations(functools.partial(recurrent, ()), at_root, below, number),
    }


def _result(output: Any, summary: Any, value: Array) -> SearchResult:
    return SearchResult(output.action.astype(jnp.int32), summary.visit_counts, value, output.action_weights)
