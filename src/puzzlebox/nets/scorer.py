"""A decoder with a scalar head: one score after each token, as a value function or a reward model.

Sources: Ziegler et al. 2019; Ouyang et al. 2022. Departure: the head has no bias.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from puzzlebox.nets.decoder import Decoder
from puzzlebox.types import Array


class Scorer(eqx.Module):
    """score_t = head · (hidden state after token t); ``head [width]`` begins at zero, and so do all scores.

    The two parts of a scorer that trains are scorers too: ``Scorer(trained_part(decoder, …), head)`` and
    ``Scorer(frozen_part(decoder, …), None)``; `eqx.combine` makes a whole one of them.
    """

    decoder: Decoder
    head: Any  # None in the part that does not train

    def __call__(self, tokens: Array, positions: Array | None = None, segments: Array | None = None) -> Array:
        """``tokens`` int ``[B, T]``, padded or packed as in `Decoder.hidden_states` -> scores float32 ``[B, T]``."""
        hidden = self.decoder.hidden_states(tokens, positions, segments)
        return hidden.astype(jnp.promote_types(hidden.dtype, jnp.float32)) @ self.head


def zero_head(decoder: Decoder) -> Array:
    """The head that a new scorer begins with, float32 ``[width]``."""
    return jnp.zeros(decoder.config.width)
