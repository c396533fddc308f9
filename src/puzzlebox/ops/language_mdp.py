"""Exact answers about a language model whose completions can all be enumerated.

It is what trainers are tested against: with few tokens and short completions everything that they estimate can be
computed. A completion is a sequence of at most ``length`` tokens that ends at ``stop`` or at the full length. The
prefixes that may go on are the states of an MDP, a token is an action, the reward comes with the last token. So the
tabular solvers find the best completion, and the optimum of RLHF has a closed form: of all policies,

    π*(y) = π_ref(y) exp(r(y)/β) / Z   maximises   E_π[r] − β KL(π ‖ π_ref)   and reaches   β log Z.

Letters: ``N`` completions, ``S`` prefixes, ``V`` tokens, ``L`` length. All log-probabilities are in nats; everything
follows the precision of its input (float64 under ``jax.enable_x64``). Sources: Ziebart 2010 (soft values); Levine 2018;
Rafailov et al. 2023 (DPO), section 4.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from puzzlebox.errors import UsageError
from puzzlebox.types import MDP, Array

MAX_SEQUENCES = 2**22  # completions; more would not fit into memory


class SequenceTree(NamedTuple):
    """All completions and all prefixes; completions are ordered by length, then by their tokens.

    Row n of ``tokens`` is completion n, filled up with ``stop`` where ``mask`` is False. Prefix 0 is the empty one;
    ``prefix[n, t]`` is the one before token t. After prefix s, token v leads to prefix ``child[s, v]`` or ends
    completion ``leaf[s, v]``; the other of the two is −1.
    """

    tokens: np.ndarray  # int32 [N, L]
    mask: np.ndarray  # bool    [N, L]
    prefix: np.ndarray  # int32 [N, L]
    child: np.ndarray  # int32  [S, V]
    leaf: np.ndarray  # int32   [S, V]


class Optimum(NamedTuple):
    """The best policy under a KL penalty. ``value`` is E_π*[r] − β KL(π* ‖ π_ref) = β log Z."""

    log_prob: Array  # [N]
    value: Array  # []


class SoftValues(NamedTuple):
    """The same, prefix by prefix: V(s), and the optimal log-probabilities of the next token."""

    value: Array  # [S]
    log_prob: Array  # [S, V]


def sequence_tree(vocab_size: int, length: int, stop: int | None = None) -> SequenceTree:
    """All completions of at most ``length`` tokens: V^L of them, or Σ_{l<L} (V−1)^l + (V−1)^L with a stop token.

    Without ``stop`` they are in the order of an array ``[V, ..., V]``. Raises UsageError for impossible sizes.
    """
    _check_sizes(vocab_size, length, stop)
    going_on = np.array([token for token in range(vocab_size) if token != stop], np.int32)
    prefixes = np.zeros((1, 0), np.int32)
    path = np.zeros((1, 0), np.int32)
    num_prefixes, num_leaves = 0, 0
    children, leaves, rows = [], [], []
    for depth in range(length):
        # number the prefixes of this length; which tokens end a completion here?
        here = np.arange(num_prefixes, num_prefixes + len(prefixes), dtype=np.int32)
        num_prefixes += len(prefixes)
        last = depth == length - 1
        ends = np.full(vocab_size, last)
        if stop is not None:
            ends[stop] = True
        # completions and longer prefixes are numbered in the order in which they are met
        leaf = np.full((len(prefixes), vocab_size), -1, np.int32)
        leaf[:, ends] = num_leaves + np.arange(len(prefixes) * ends.sum()).reshape(len(prefixes), -1)
        child = np.full((len(prefixes), vocab_size), -1, np.int32)
        child[:, ~ends] = num_prefixes + np.arange(len(prefixes) * (~ends).sum()).reshape(len(prefixes), -1)
        num_leaves += leaf[:, ends].size
        children.append(child)
        leaves.append(leaf)
        # write the completions that end here, and go on with the other prefixes
        path = np.concatenate([path, here[:, None]], axis=1)
        ended = _extend(prefixes, np.flatnonzero(ends))
        rows.append((ended, np.repeat(path, int(ends.sum()), axis=0)))
        prefixes, path = _extend(prefixes, going_on), np.repeat(path, len(going_on), axis=0)
    fill = 0 if stop is None else stop
    return SequenceTree(
        tokens=np.concatenate([_pad(ended, length, fill) for ended, _ in rows]),
        mask=np.concatenate([_pad(np.ones(ended.shape, bool), length, False) for ended, _ in rows]),
        prefix=np.concatenate([_pad(path, length, 0) for _, path in rows]),
        child=np.concatenate(children),
        leaf=np.concatenate(leaves),
    )


def prefix_tree(vocab_size: int, length: int, reward: ArrayLike, stop: int | None = None) -> MDP:
    """The task as an MDP: states are prefixes (0 the empty one), actions tokens; solve it with discount 1.

    ``reward``: one number per completion, in the order of `sequence_tree`, of any shape (``[V, ..., V]`` without stop).
    Raises UsageError where the numbers are not N, or not finite.
    """
    tree = sequence_tree(vocab_size, length, stop)
    paid = np.asarray(reward, np.float64).reshape(-1)
    if len(paid) != len(tree.tokens):
        raise UsageError(f"reward has {len(paid)} numbers for {len(tree.tokens)} completions; give one for each")
    if not np.isfinite(paid).all():
        first = int(np.flatnonzero(~np.isfinite(paid))[0])
        raise UsageError(f"the reward of completion {first} is {paid[first]}; rewards must be finite")
    ends = tree.leaf >= 0
    itself = np.arange(len(ends), dtype=np.int32)[:, None]
    start = np.zeros(len(ends))
    start[0] = 1.0
    return MDP(
        next_state=np.where(ends, itself, tree.child)[..., None],
        probability=np.ones((*ends.shape, 1)),
        reward=np.where(ends, paid[tree.leaf], 0.0)[..., None],
        terminated=ends[..., None],
        start=start,
    )


def best_completion(tree: SequenceTree, reward: ArrayLike) -> np.ndarray:
    """The tokens of the completion with the highest reward, the first of equals; int32 ``[its length]``."""
    best = int(np.argmax(np.asarray(reward).reshape(-1)))
    return tree.tokens[best][tree.mask[best]]


def token_log_probs(tree: SequenceTree, next_log_prob: Array) -> Array:
    """log π(token t | prefix) of every completion, 0 where there is no token; ``.sum(-1)`` is log π(y).

    Shapes: ``next_log_prob [S, V]`` -> ``[N, L]``.
    """
    return jnp.where(tree.mask, next_log_prob[tree.prefix, tree.tokens], 0.0)


def next_token_log_probs(tree: SequenceTree, log_prob: Array) -> Array:
    """log π(v | s) = log Σ_{y begins with s v} π(y) − log Σ_{y begins with s} π(y): ``[N]`` -> ``[S, V]``.

    A prefix that π never reaches gets NaN.
    """
    return _soft_backup(tree, log_prob, jnp.zeros(tree.child.shape, log_prob.dtype)).log_prob


def expected(log_prob: Array, x: Array) -> Array:
    """E_π[x] = Σ_y π(y) x(y): ``[N]``, ``[N]`` -> ``[]``. The gradient counts both: what is sampled, and x."""
    possible = log_prob > -jnp.inf
    return jnp.sum(jnp.where(possible, jnp.exp(log_prob) * jnp.where(possible, x, 0.0), 0.0))


def sequence_kl(log_prob: Array, reference_log_prob: Array) -> Array:
    """KL(π ‖ π_ref) over completions, infinite where π does what π_ref never does: ``[N]``, ``[N]`` -> ``[]``."""
    return expected(log_prob, jnp.where(log_prob > -jnp.inf, log_prob, 0.0) - reference_log_prob)


def regularised_optimum(reward: Array, reference_log_prob: Array, beta: ArrayLike) -> Optimum:
    """π*(y) = π_ref(y) exp(r(y)/β) / Z, and its value β log Z.

    Shapes: ``reward [N]``, ``reference_log_prob [N]``. Source: Rafailov et al. 2023, eq. 4.
    """
    beta = jnp.asarray(beta)
    score = reference_log_prob + reward / beta
    log_partition = jax.nn.logsumexp(score)
    return Optimum(score - log_partition, beta * log_partition)


def soft_values(tree: SequenceTree, reward: Array, reference_next_log_prob: Array, beta: ArrayLike) -> SoftValues:
    """The soft Bellman equation on the tree: Q(s, v) is the reward of the completion that v ends, else V(s v), and

        V(s) = β log Σ_v π_ref(v|s) exp(Q(s, v)/β),    π*(v|s) = π_ref(v|s) exp((Q(s, v) − V(s))/β).

    Shapes: ``reward [N]``, ``reference_next_log_prob [S, V]``. V(0) is the value of `regularised_optimum`.
    """
    beta = jnp.asarray(beta)
    scaled = _soft_backup(tree, jnp.asarray(reward) / beta, reference_next_log_prob)
    return SoftValues(beta * scaled.value, scaled.log_prob)


def _soft_backup(tree: SequenceTree, leaf_value: Array, next_log_weight: Array) -> SoftValues:
    """V(s) = log Σ_v exp(w(s, v) + Q(s, v)) from the leaves up, and the normalised terms."""
    leaf_value = jnp.asarray(leaf_value).reshape(-1)
    at_leaf = jnp.where(tree.leaf >= 0, leaf_value[tree.leaf], 0.0)
    value = jnp.zeros(len(tree.child), at_leaf.dtype)
    score = at_leaf
    for _ in range(tree.tokens.shape[1]):  # after i sweeps the prefixes with at most i tokens to go are right
        score = next_log_weight + jnp.where(tree.leaf >= 0, at_leaf, value[tree.child])
        value = jax.nn.logsumexp(score, axis=-1)
    return SoftValues(value, score - value[:, None])


def _extend(prefixes: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Every prefix with every token after it, in order: ``[P, l]``, ``[n]`` -> ``[P n, l + 1]``."""
    added = np.tile(tokens.astype(np.int32), len(prefixes))[:, None]
    return np.concatenate([np.repeat(prefixes, len(tokens), axis=0), added], axis=1)


def _pad(rows: np.ndarray, length: int, fill: int | bool) -> np.ndarray:
    return np.pad(rows, ((0, 0), (0, length - rows.shape[1])), constant_values=fill)


def _check_sizes(vocab_size: int, length: int, stop: int | None) -> None:
    if vocab_size < 2 or length < 1:
        raise UsageError(f"vocab_size is {vocab_size} and length {length}; they must be at least 2 and 1")
    if stop is not None and not 0 <= stop < vocab_size:
        raise UsageError(f"stop is {stop}; with vocab_size {vocab_size} it must lie between 0 and {vocab_size - 1}")
    if vocab_size**length > MAX_SEQUENCES:
        raise UsageError(
            f"{vocab_size}^{length} completions are too many to enumerate (at most {MAX_SEQUENCES:,}); "
            "use fewer tokens or a smaller length"
        )
