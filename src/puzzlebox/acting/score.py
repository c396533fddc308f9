"""How likely a language model finds what was written: log-probabilities of the actions of a trajectory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from puzzlebox.data.packing import bucket
from puzzlebox.nets.decoder import Decoder
from puzzlebox.types import Array

MOST_LOGITS = 1 << 24  # at once; more are made in parts, and again when the gradient needs them


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
    """log π(action) and the entropy of π (nats) where ``mask`` is True, 0 elsewhere; all ``[B, T]``.

    ``count`` is the largest number of masked entries in any row (None: T): logits are made for so many only.
    ``temperature`` divides the logits as it did when the tokens were drawn. Packed rows give ``positions`` and
    ``segments`` (see `Decoder.read`).
    """
    length = observation.shape[1]
    count = length if count is None else min(count, length)
    hidden = decoder.read(observation, positions, segments)
    chosen = jnp.argsort(~mask, axis=1, stable=True)[:, :count]  # a row's masked places first, in their order
    picked = jnp.take_along_axis(hidden, chosen[..., None], axis=1)
    target = jnp.take_along_axis(action, chosen, axis=1)
    log_prob, entropy = _judge(decoder, picked, target, temperature)
    where = jnp.arange(len(mask))[:, None], chosen
    return _spread(log_prob, where, mask), _spread(entropy, where, mask)


def widths(mask: Array) -> tuple[int, int]:
    """Columns for the longest prompt and the longest completion of a trajectory's rows ``[B, T]``, rounded up."""
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
    """`score` where ``group`` rows beside each other share their prompt, which is read once, as in `generate`.

    A row's masked entries are one stretch, its completion, and what stands before is its prompt. ``columns`` are the
    `widths` of the whole trajectory. The gradient is that of reading every row whole.
    """
    width, count = columns
    begins = jnp.argmax(mask, axis=1)  # the prompt's last token, behind which the first one was drawn
    start = width - 1 - begins[::group]
    inside = jnp.maximum(jnp.arange(width) - start[:, None], 0)
    prompts = jnp.take_along_axis(observation[::group], inside, axis=1)
    read, cache = decoder.extend(prompts, decoder.empty_cache(start, width + count - 1))
    place = jnp.minimum(begins[:, None] + jnp.arange(count), mask.shape[1] - 1)
    written, _ = decoder.extend(jnp.take_along_axis(observation, place[:, 1:], axis=1), cache.repeat(group))
    hidden = jnp.concatenate([jnp.repeat(read[:, -1:], group, axis=0), written], axis=1)
    log_prob, entropy = _judge(decoder, hidden, jnp.take_along_axis(action, place, axis=1), temperature)
    real = jnp.take_along_axis(mask, place, axis=1) & (jnp.arange(count) + begins[:, None] < mask.shape[1])
    where = jnp.arange(len(mask))[:, None], jnp.where(real, place, mask.shape[1])  # the others fall off the end
    return _spread(log_prob, where, mask), _spread(entropy, where, mask)


def _judge(decoder: Decoder, x: Array, target: Array, temperature: ArrayLike) -> tuple[Array, Array]:
    """log π(target) and the entropy of π ``[B, C]``, from what the model thinks, ``x [B, C, width]``."""

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
    """``x [B, C]`` at the places ``where`` of ``[B, T]``, 0 where ``mask`` is False."""
    return jnp.where(mask, jnp.zeros(mask.shape, x.dtype).at[where].set(x, mode="drop"), 0.0)
