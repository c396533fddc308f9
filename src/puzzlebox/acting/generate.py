"""Acting with a language model: prompts and a key give a `Trajectory` of tokens.

Prompts are read once (prefill), also where a group of completions shares one; then one compiled loop draws a token per
row and step until every row has stopped. Lengths are rounded up to a few sizes, so that it rarely compiles again.

Temperature divides the logits; the recorded log-probability is that of the divided logits (at temperature 0, of the
logits themselves) before top-k and top-p cut them. Sources: Holtzman et al. 2020 (top-p), Fan et al. 2018 (top-k).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.data.packing import bucket
from puzzlebox.errors import UsageError
from puzzlebox.nets.decoder import Cache, Decoder
from puzzlebox.nets.linear import Linear, is_linear, merge_lora
from puzzlebox.ops.distributions import Categorical
from puzzlebox.types import Array, Key, Trajectory

CHUNK = 16  # tokens drawn between two looks for stop strings
LARGE, BLOCK = 4096, 256  # from this vocabulary size on a token is drawn in two steps: its block, then itself
Finished = Callable[[list[int]], bool]  # token ids of a completion so far -> does its text contain a stop string?


class Sampling(NamedTuple):
    """How a token is chosen. ``temperature`` 0 takes the likeliest; ``top_k`` 0 and ``top_p`` 1 cut nothing."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class Generation(NamedTuple):
    """Completions under way, at most ``N`` tokens each; rows that are ``done`` wait for the others."""

    cache: Cache
    tokens: Array  # int32 [B, N]
    log_prob: Array  # [B, N]
    mask: Array  # bool [B, N]: drawn, stop token included
    done: Array  # bool [B]
    steps: Array  # int32 [], tokens drawn so far, the same in all rows
    key: Key


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    key: Key,
    *,
    max_tokens: int,
    sampling: Sampling = Sampling(),  # noqa: B008
    group: int = 1,
    stop_ids: Sequence[int] = (),
    finished: Finished | None = None,
    pad_id: int = 0,
) -> Trajectory:
    """``group`` completions of every prompt (token ids), at most ``max_tokens`` long: ``[len(prompts) · group, T]``.

    Row i · group + j is completion j of prompt i. ``terminated`` is True at a row's stop token (one of ``stop_ids``, or
    the token that made ``finished`` true), ``truncated`` at the last token of a row that was cut off; ``reward`` is 0.
    Raises UsageError for an empty prompt, or one that leaves no room in the model's context.
    """
    check_prompts(decoder, prompts, max_tokens)
    decoder = without_adapters(decoder)

    # Read the prompts, then draw tokens. Stop strings are looked for on the host, so the loop pauses for them.
    generation, read = prefill(decoder, prompts, key, max_tokens, sampling, group, stop_ids, pad_id)
    stops, temperature = jnp.asarray(list(stop_ids), jnp.int32), jnp.float32(sampling.temperature)
    while int(generation.steps) < max_tokens and not bool(generation.done.all()):
        if finished is not None:
            generation = end_at_stop_strings(generation, finished)
        limit = max_tokens if finished is None else min(int(generation.steps) + CHUNK, max_tokens)
        generation = draw_tokens(decoder, generation, stops, jnp.int32(limit), temperature, *sampling[1:], pad_id)
    if finished is not None:
        generation = end_at_stop_strings(generation, finished)

    # A row that stopped by itself has terminated; the others were cut off.
    ended = np.isin(np.asarray(generation.tokens), np.asarray(stop_ids, int)).any(axis=1)
    whole = ended if finished is None else np.asarray(generation.done)
    return to_trajectory(read, generation, jnp.asarray(whole), pad_id)


def without_adapters(decoder: Decoder) -> Decoder:
    """The same model with its adapters merged into the weights, so that they cost nothing per token."""
    layers = jax.tree.leaves(decoder, is_leaf=is_linear)
    adapted = any(isinstance(layer, Linear) and layer.lora_a is not None for layer in layers)
    return _merge(decoder) if adapted else decoder


_merge = eqx.filter_jit(merge_lora)


def prefill(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    key: Key,
    max_tokens: int,
    sampling: Sampling,
    group: int,
    stop_ids: Sequence[int],
    pad_id: int,
) -> tuple[Generation, Array]:
    """Reads the prompts and draws every row's first token; also returns the prompts ``[B, P]``, padded on the left.

    Padded on the left they all end in the same column, where every row's next token is drawn.
    """
    length = bucket(max(len(prompt) for prompt in prompts))
    rows = np.full((len(prompts), length), pad_id, np.int32)
    for row, prompt in zip(rows, prompts, strict=True):
        row[length - len(prompt) :] = prompt
    start = np.array([length - len(prompt) for prompt in prompts], np.int32)
    stops, temperature = jnp.asarray(list(stop_ids), jnp.int32), jnp.float32(sampling.temperature)
    generation = _prefill(decoder, rows, start, key, stops, temperature, max_tokens, group, *sampling[1:])
    return generation, jnp.repeat(jnp.asarray(rows), group, axis=0)


@eqx.filter_jit
def _prefill(decoder, rows, start, key, stops, temperature, max_tokens, group, top_k, top_p) -> Generation:
    hidden, cache = decoder.extend(rows, decoder.empty_cache(start, rows.shape[1] + max_tokens))
    logits = jnp.repeat(decoder.logits(hidden[:, -1]), group, axis=0)
    key, draw_key = jax.random.split(key)
    token, log_prob = draw_token(logits, draw_key, temperature, top_k, top_p)
    empty = jnp.zeros((token.shape[0], max_tokens))
    done = (token[:, None] == stops).any(axis=1)
    return Generation(
        cache.repeat(group),
        empty.astype(jnp.int32).at[:, 0].set(token),
        empty.at[:, 0].set(log_prob),
        empty.astype(bool).at[:, 0].set(True),
        done,
        jnp.int32(1),
        key,
    )


@eqx.filter_jit(donate="all-except-first")
def draw_tokens(decoder, generation: Generation, stops, limit, temperature, top_k, top_p, pad_id) -> Generation:
    """Draws tokens until every row is done or ``limit`` tokens a row have been drawn."""

    def body(w: Generation) -> Generation:
        key, draw_key = jax.random.split(w.key)
        last = jax.lax.dynamic_slice_in_dim(w.tokens, w.steps - 1, 1, axis=1)
        hidden, cache = decoder.extend(last, w.cache)
        token, log_prob = draw_token(decoder.logits(hidden[:, -1]), draw_key, temperature, top_k, top_p)
        live = ~w.done
        return Generation(
            cache,
            w.tokens.at[:, w.steps].set(jnp.where(live, token, pad_id)),
            w.log_prob.at[:, w.steps].set(jnp.where(live, log_prob, 0.0)),
            w.mask.at[:, w.steps].set(live),
            w.done | (token[:, None] == stops).any(axis=1),
            w.steps + 1,
            key,
        )

    return jax.lax.while_loop(lambda w: (w.steps < limit) & ~w.done.all(), body, generation)


def draw_token(logits: Array, key: Key, temperature, top_k: int, top_p: float) -> tuple[Array, Array]:
    """One token per row of ``logits [B, V]``, int32 ``[B]``, and its log-probability before `filter_logits`."""

    def likeliest(_: Array) -> tuple[Array, Array]:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32), logits

    def sampled(_: Array) -> tuple[Array, Array]:
        scaled = logits / temperature
        return draw_index(filter_logits(scaled, top_k, top_p), key), scaled

    token, scaled = jax.lax.cond(jnp.asarray(temperature) > 0, sampled, likeliest, logits)
    chosen = jnp.take_along_axis(scaled, token[:, None], axis=-1)[:, 0]
    return token, chosen - jax.nn.logsumexp(scaled, axis=-1)


def draw_index(logits: Array, key: Key) -> Array:
    """One index per row of ``logits [B, V]``, drawn from their softmax; int32 ``[B]``.

    `Categorical` needs a random number for each of the V entries. Where V is large these would be most of the work of a
    token; there a block of tokens is drawn by its probability, and then a token within the block.
    """
    if logits.shape[-1] < LARGE:
        return Categorical(logits).sample(key)
    weights = jnp.exp(logits - logits.max(-1, keepdims=True))
    weights = jnp.pad(weights, ((0, 0), (0, -logits.shape[-1] % BLOCK)))
    blocks = weights.reshape(len(weights), -1, BLOCK)
    uniform = jax.random.uniform(key, (2, len(weights)))
    block = _first(blocks.sum(-1), uniform[0])
    inside = _first(jnp.take_along_axis(blocks, block[:, None, None], axis=1)[:, 0], uniform[1])
    return (block * BLOCK + inside).astype(jnp.int32)


def _first(weights: Array, uniform: Array) -> Array:
    """The first index of each row ``[B, N]`` whose cumulative sum exceeds the share ``uniform [B]`` of the total.

    Rounding may let the sum grow where a weight is 0; such an index is never taken.
    """
    total = jnp.cumsum(weights, axis=-1)
    over = (total > uniform[:, None] * total[:, -1:]) & (weights > 0)
    return jnp.where(over.any(-1), jnp.argmax(over, axis=-1), jnp.argmax(weights, axis=-1))


def filter_logits(logits: Array, top_k: int, top_p: float) -> Array:
    """Top-k and top-p: ``logits [B, V]`` with −inf outside the ``top_k`` likeliest tokens, and outside the nucleus.

    The nucleus is the smallest set of likeliest tokens whose probabilities sum to ``top_p`` or more.
    """
    if top_k:
        least = jax.lax.top_k(logits, min(top_k, logits.shape[-1]))[0][:, -1:]
        logits = jnp.where(logits >= least, logits, -jnp.inf)
    if top_p < 1.0:
        probs = jax.nn.softmax(logits)

        # The nucleus is {p ≥ t} for the largest t that leaves enough: bisection finds t without sorting V numbers.
        def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = (low + high) / 2
            enough = jnp.where(probs >= middle, probs, 0).sum(-1, keepdims=True) >= top_p
            return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

        top = probs.max(-1, keepdims=True)
        least, _ = jax.lax.fori_loop(0, 32, halve, (jnp.zeros_like(top), top * (1 + 1e-6)))
        logits = jnp.where(probs >= least, logits, -jnp.inf)
    return logits


def end_at_stop_strings(generation: Generation, finished: Finished) -> Generation:
    """Ends the rows whose text contains a stop string; the tokens after the one that completed it are dropped."""
    count, mask, done = int(generation.steps), np.array(generation.mask), np.array(generation.done)
    tokens = np.asarray(generation.tokens)
    for row in np.flatnonzero(mask[:, :count].any(axis=1)):
        completion = tokens[row, mask[row]].tolist()
        if not finished(completion):
            continue
        few, many = 0, len(completion)  # bisection: the shortest beginning that contains it
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (few, middle) if finished(completion[:middle]) else (middle, many)
        mask[row, many:] = False
        done[row] = True
    return generation._replace(mask=jnp.asarray(mask), done=jnp.asarray(done))


@eqx.filter_jit
def to_trajectory(read: Array, generation: Generation, whole: Array, pad_id: int) -> Trajectory:
    """Prompts ``[B, P]``, padded on the left, with their completions as rows ``[B, T]`` padded on the right.

    ``whole [B]``: the completion came to its end and was not cut off.
    """
    length = read.shape[1]
    tokens = jnp.concatenate([read, jnp.where(generation.mask, generation.tokens, pad_id)], axis=1)
    # Shift every row to the left, by as much padding as it begins with.
    place = jnp.arange(tokens.shape[1]) + generation.cache.start[:, None]
    inside = place < tokens.shape[1]
    place = jnp.minimum(place, tokens.shape[1] - 1)

    def shift(x: Array, fill) -> Array:
        return jnp.where(inside, jnp.take_along_axis(x, place, axis=1), fill)

    def behind(x: Array) -> Array:
        """Values of completion tokens ``[B, N]`` where `Trajectory` has them: at the token before, which acts."""
        return shift(jnp.pad(x, ((0, 0), (length, 0))), 0)[:, 1:]

    row, mask = shift(tokens, pad_id), behind(generation.mask).astype(bool)
    last = mask & ~jnp.pad(mask[:, 1:], ((0, 0), (0, 1)))
    return Trajectory(
        observation=row[:, :-1],
        action=row[:, 1:],
        log_prob=behind(generation.log_prob) * mask,
        reward=jnp.zeros(mask.shape),
        terminated=last & whole[:, None],
        truncated=last & ~whole[:, None],
        next_observation=row[:, 1:],
        mask=mask,
    )


def completion_ids(trajectory: Trajectory) -> list[list[int]]:
    """The token ids that the policy chose in each row, stop token included."""
    action, mask = np.asarray(trajectory.action), np.asarray(trajectory.mask)
    return [row[chosen].tolist() for row, chosen in zip(action, mask, strict=True)]


def trim(trajectory: Trajectory) -> Trajectory:
    """The trajectory without the last columns that are padding in every row; the length is rounded up (`bucket`)."""
    used = np.flatnonzero(np.asarray(trajectory.mask).any(axis=0))
    length = bucket(int(used[-1]) + 1 if used.size else 1)
    return trajectory if length >= trajectory.mask.shape[1] else jax.tree.map(lambda x: x[:, :length], trajectory)


def check_prompts(decoder: Decoder, prompts: Sequence[Sequence[int]], max_tokens: int) -> None:
    """Raises UsageError for a prompt without tokens or too long for the context."""
    context = decoder.config.context
    for number, prompt in enumerate(prompts, 1):
        if not prompt:
            raise UsageError(f"prompt {number} is empty; a prompt needs at least one token")
        if len(prompt) + max_tokens > context:
            raise UsageError(
                f"prompt {number} has {len(prompt)} tokens, and {max_tokens} more do not fit into the model's context "
                f"of {context}; shorten it or generate at most {max(0, context - len(prompt))}"
            )
