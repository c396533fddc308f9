"""How likely a language model finds what was written: log-probabilities of the actions of a trajectory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

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

    @jax.checkpoint
    def part(decoder: Decoder, x: Array, target: Array) -> tuple[Array, Array]:
        log_probs = jax.nn.log_softmax(decoder.logits(x) / temperature)
        entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
        return jnp.take_along_axis(log_probs, target[..., None], axis=-1)[..., 0], entropy

    rows = max(1, MOST_LOGITS // (count * decoder.config.vocab_size))
    parts = [part(decoder, picked[i : i + rows], target[i : i + rows]) for i in range(0, len(picked), rows)]
    log_prob, entropy = (jnp.concatenate(x) for x in zip(*parts, strict=True))
    where = jnp.arange(len(mask))[:, None], chosen

    def spread(x: Array) -> Array:
        return jnp.where(mask, jnp.zeros(mask.shape, x.dtype).at[where].set(x), 0.0)

    return spread(log_prob), spread(entropy)
