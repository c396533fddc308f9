"""Log-probabilities that a language model gives to the tokens of a trajectory, and its entropy there.

Logits are by far the largest arrays of language models, so they are made only where a token is scored, in parts.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from puzzlebox.data.packing import bucket
from puzzlebox.nets.decoder import Decoder
from puzzlebox.types import Array

MOST_LOGITS = 1 << 24  # numbers at once; parts are computed again for the gradient rather than kept


def score(
    decoder: Decoder,
    observation: Array,
    action: Array,
    mask: Array,
    count: int | None = None,
    temperature: ArrayLike = 1.0,
    positions: Array | None = None,
    segments: Array | None = None,
) -> tuple[Array, Array]:
    """log π(action) and the entropy of π, both in nats, where ``mask`` is True and 0 elsewhere; all ``[B, T]``.

    ``count`` is an upper bound on the True entries of ``mask`` in any row (None: T): logits are made for so many places
    a row. ``temperature`` divides the logits as it did when the tokens were drawn. Packed rows have ``positions`` and
    ``segments`` (see `Decoder.hidden_states`).
    """
    length = observation.shape[1]
    count = length if count is None else min(count, length)
    hidden = decoder.hidden_states(observation, positions, segments)
    chosen = jnp.argsort(~mask, axis=1, stable=True)[:, :count]  # a row's masked places first, in their order
    picked = jnp.take_along_axis(hidden, chosen[..., None], axis=1)
    target = jnp.take_along_axis(action, chosen, axis=1)
    log_prob, entropy = _log_prob_and_entropy(decoder, picked, target, temperature)
    where = jnp.arange(len(mask))[:, None], chosen
    return _spread(log_prob, where, mask), _spread(entropy, where, mask)


def widths(mask: Array) -> tuple[int, int]:
    """The longest prompt and the longest completion of a trajectory's rows, in tokens, rounded up (`bucket`).

    ``mask`` bool ``[B, T]`` is the trajectory's. What `score_groups` takes as ``columns``.
    """
    rows = np.asarray(mask)
    return bucket(int(rows.argmax(axis=1).max()) + 1), bucket(int(rows.sum(axis=1).max()))


def score_groups(
    decoder: Decoder,
    observation: Array,
    action: Array,
    mask: Array,
    group: int,
    columns: tuple[int, int],
    temperature: ArrayLike = 1.0,
) -> tuple[Array, Array]:
    """`score` where ``group`` consecutive rows share their prompt, which is read once, as in `generate`.

    The True entries of a row's ``mask`` must be contiguous: they are its completion, and what comes before is its
    prompt. ``columns`` are the `widths` of the whole trajectory. The gradient is that of reading every row whole.
    """
    # Read each prompt once, shifted so that all end in the last column.
    width, count = columns
    begins = jnp.argmax(mask, axis=1)  # the prompt's last token, behind which the first one was drawn
    start = width - 1 - begins[::group]
    inside = jnp.maximum(jnp.arange(width) - start[:, None], 0)
    prompts = jnp.take_along_axis(observation[::group], inside, axis=1)
    read, cache = decoder.extend(prompts, decoder.empty_cache(start, width + count - 1))

    # Read the completions behind it. The first token is scored by what follows the prompt, the last one is not read.
    place = jnp.minimum(begins[:, None] + jnp.arange(count), mask.shape[1] - 1)
    written, _ = decoder.extend(jnp.take_along_axis(observation, place[:, 1:], axis=1), cache.repeat(group))

    # Score them, and write the results back to where they stand in the rows.
    hidden = jnp.concatenate([jnp.repeat(read[:, -1:], group, axis=0), written], axis=1)
    log_prob, entropy = _log_prob_and_entropy(decoder, hidden, jnp.take_along_axis(action, place, axis=1), temperature)
    real = jnp.take_along_axis(mask, place, axis=1) & (jnp.arange(count) + begins[:, None] < mask.shape[1])
    where = jnp.arange(len(mask))[:, None], jnp.where(real, place, mask.shape[1])  # the others fall off the end
    return _spread(log_prob, where, mask), _spread(entropy, where, mask)


def _log_prob_and_entropy(decoder: Decoder, x: Array, target: Array, temperature: ArrayLike) -> tuple[Array, Array]:
    """log π(target) and the entropy of π ``[B, C]``, from the hidden states ``x [B, C, width]``."""

    @jax.checkpoint
    def part(decoder: Decoder, x: Array, target: Array) -> tuple[Array, Array]:
        log_probs = jax.nn.log_softmax(decoder.logits(x) / temperature)
        entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
        return jnp.take_along_axis(log_probs, target[..., None], axis=-1)[..., 0], entropy

    rows = max(1, MOST_LOGITS // (x.shape[1] * decoder.config.vocab_size))
    parts = [part(decoder, x[i : i + rows], target[i : i + rows]) for i in range(0, len(x), rows)]
    log_prob, entropy = (jnp.concatenate(numbers) for numbers in zip(*parts, strict=True))
    return log_prob, entropy


def _spread(x: Array, where: tuple[Array, Array], mask: Array) -> Array:
    """``x [B, C]`` scattered to the places ``where`` of ``[B, T]``, 0 where ``mask`` is False."""
    return jnp.where(mask, jnp.zeros(mask.shape, x.dtype).at[where].set(x, mode="drop"), 0.0)
