"""The simulations of a tree search: walk down to a move that was not tried, add what follows it, walk back up.

They compute what `mctx.search` computes, but for the noise that breaks ties in PUCT; mctx builds the tree and reads the
results off it. They are written anew for speed: mctx writes the walks for one tree and maps them over the batch with
`vmap`, which turns every step up into a copy of all trees, and evaluates both rules of choice, the root's and that of
the nodes below, at every step down. Here a walk moves in all trees of the batch at once and touches only the rows that
it visits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mctx
from jax.custom_batching import custom_vmap

from puzzlebox.types import Array, Key

Choose = Callable[[mctx.Tree, Array, Array, Array], Array]  # (tree, node, depth, number), of one tree -> action
Carry = tuple[Key, mctx.Tree]


def simulations(
    recurrent: Callable[..., Any], at_root: Choose, below: Choose, number: Array | float
) -> Callable[..., Carry]:
    """A ``loop_fn`` for the policies of mctx, in the place of `jax.lax.fori_loop`.

    ``recurrent`` is mctx's ``recurrent_fn`` without parameters. ``at_root`` and ``below`` choose an action from the
    tree and ``number``, a coefficient of their formula, which may be traced.
    """
    walk = _over_rows(lambda tree, numbers: _walk(tree, numbers, at_root, below))

    def run(first: int, last: int, _: Any, carry: Carry) -> Carry:
        batch = carry[1].node_values.shape[0]
        rows, numbers = jnp.arange(batch), jnp.broadcast_to(number, (batch,))

        def simulate(i: Array, carry: Carry) -> Carry:
            # walk down
            key, tree = carry
            key, _, expand_key = jax.random.split(key, 3)
            parent, action = walk(tree.replace(embeddings=None), numbers)

            # add a node: what follows a move that is first tried in simulation i is node i + 1
            node = jnp.full(batch, i + 1, jnp.int32)
            found, embedding = recurrent(expand_key, action, jax.tree.map(lambda x: x[rows, parent], tree.embeddings))
            tree = tree.replace(
                children_prior_logits=tree.children_prior_logits.at[rows, node].set(found.prior_logits),
                raw_values=tree.raw_values.at[rows, node].set(found.value),
                node_values=tree.node_values.at[rows, node].set(found.value),
                node_visits=tree.node_visits.at[rows, node].set(1),
                embeddings=jax.tree.map(lambda t, x: t.at[rows, node].set(x), tree.embeddings, embedding),
                children_index=tree.children_index.at[rows, parent, action].set(node),
                children_rewards=tree.children_rewards.at[rows, parent, action].set(found.reward),
                children_discounts=tree.children_discounts.at[rows, parent, action].set(found.discount),
                parents=tree.parents.at[rows, node].set(parent),
                action_from_parent=tree.action_from_parent.at[rows, node].set(action),
            )

            # walk back up
            changed = _back_up(
                (tree.node_values, tree.node_visits, tree.children_values, tree.children_visits),
                (tree.parents, tree.action_from_parent, tree.children_rewards, tree.children_discounts),
                node,
            )
            names = ("node_values", "node_visits", "children_values", "children_visits")
            return key, tree.replace(**dict(zip(names, changed, strict=True)))

        return jax.lax.fori_loop(first, last, simulate, carry)

    return run


def _over_rows(f: Callable[..., Any]) -> Callable[..., Any]:
    """``f`` of leaves ``[B, ...]`` whose rows are independent: `vmap` only adds rows and does not batch ``f``."""
    mapped = custom_vmap(f)

    @mapped.def_vmap
    def more_rows(size: int, batched: Any, *arguments: Any) -> tuple[Any, Any]:
        whole = jax.tree.map(lambda x, b: x if b else jnp.broadcast_to(x, (size, *x.shape)), arguments, tuple(batched))
        result = mapped(*jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), whole))
        result = jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), result)
        return result, jax.tree.map(lambda _: True, result)

    return mapped


def _walk(tree: mctx.Tree, numbers: Array, at_root: Choose, below: Choose) -> tuple[Array, Array]:
    """Down every tree to an action that was not tried: its node and the action, ``[B]`` each.

    Walks that have arrived wait for the others.
    """
    batch = tree.node_values.shape[0]
    rows, root = jnp.arange(batch), jnp.zeros(batch, jnp.int32)

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        node, action, _ = carry
        return (tree.children_index[rows, node, action] != mctx.Tree.UNVISITED).any()

    def down(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        node, action, depth = carry
        following = tree.children_index[rows, node, action]
        on = following != mctx.Tree.UNVISITED
        following = jnp.where(on, following, 0)
        chosen = jax.vmap(below, (0, 0, None, 0))(tree, following, depth, numbers)
        return jnp.where(on, following, node), jnp.where(on, chosen, action), depth + 1

    depth = jnp.int32(0)
    first = jax.vmap(at_root, (0, 0, None, 0))(tree, root, depth, numbers)
    node, action, _ = jax.lax.while_loop(unfinished, down, (root, first, depth + 1))
    return node, action


@_over_rows
def _back_up(results: tuple[Array, ...], links: tuple[Array, ...], node: Array) -> tuple[Array, ...]:
    """Adds the value of ``node [B]`` to the means of all nodes above it; returns the changed ``results``."""
    parents, actions, rewards, discounts = links
    rows = jnp.arange(node.shape[0])
    nowhere = parents.shape[1]  # what is written there is dropped

    def unfinished(carry: tuple[tuple[Array, ...], Array, Array]) -> Array:
        return (carry[2] != mctx.Tree.ROOT_INDEX).any()

    def up(carry: tuple[tuple[Array, ...], Array, Array]) -> tuple[tuple[Array, ...], Array, Array]:
        (values, visits, child_values, child_visits), value, node = carry
        on = node != mctx.Tree.ROOT_INDEX
        parent, action = jnp.where(on, parents[rows, node], 0), jnp.where(on, actions[rows, node], 0)
        value = jnp.where(on, rewards[rows, parent, action] + discounts[rows, parent, action] * value, value)
        count = visits[rows, parent]
        mean = (values[rows, parent] * count + value) / (count + 1.0)
        tries, child_value = child_visits[rows, parent, action] + 1, values[rows, node]
        place = jnp.where(on, parent, nowhere)
        changed = (
            values.at[rows, place].set(mean, mode="drop"),
            visits.at[rows, place].set(count + 1, mode="drop"),
            child_values.at[rows, place, action].set(child_value, mode="drop"),
            child_visits.at[rows, place, action].set(tries, mode="drop"),
        )
        return changed, value, parent

    return jax.lax.while_loop(unfinished, up, (results, results[0][rows, node], node))[0]
