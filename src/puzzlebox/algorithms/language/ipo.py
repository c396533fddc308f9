"""IPO: identity preference optimisation (Azar et al. 2023, "A general theoretical paradigm", arXiv 2310.12036).

Idea: where preferences are deterministic, DPO drives the gap between chosen and rejected to infinity, whatever β is.
IPO pulls the gap to a fixed size, 1/(2β), with a squared loss. It is DPO with another loss function.

Two conventions are in use. ``--average false`` is the paper's: log-ratios of whole completions. ``--average true``
takes their mean per token, as TRL does: the gap of the sums is then to be length times as large, for the same β.
"""

from __future__ import annotations

from puzzlebox.algorithms.language.preferences import PairwisePreferences
from puzzlebox.fields import param
from puzzlebox.ops.preference_losses import ipo_loss
from puzzlebox.types import Array


class IPO(PairwisePreferences):
    """Pulls the gap between chosen and rejected completions to a fixed size."""

    beta: float = param(0.1, "the gap asked for is 1/(2β) nats", low=1e-6)
    average: bool = param(False, "log-ratios are means over a completion's tokens, not sums")

    @property
    def per_token(self) -> bool:
        return self.average

    def pair_loss(self, chosen: Array, rejected: Array) -> Array:
        return ipo_loss(chosen, rejected, self.beta)
