"""DPO: direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290).

Idea: the optimal policy of RLHF determines the reward that it is optimal for: r = β log π/π_ref + a constant of the
prompt. Put that into Bradley and Terry's model of preferences and no reward model is left: relative to the reference,
the better of two completions is to become likelier than the worse one. The reference is a rubber band, β its strength.

Other losses on the same gap are options: ``hinge`` (SLiC, RSO), and for labels that are wrong with probability
``label_smoothing`` cDPO (``sigmoid``) and ``robust``. IPO, SPIN and Online DPO have the same objective
(`preferences.pair_step`).

Departures: a task with a verifier makes its own pairs, from completions of the starting model, once and before the
first step. The reference's log-probabilities are computed in the step, so that a resumed run repeats them exactly.
"""

from __future__ import annotations

from puzzlebox.algorithms.language.preferences import PairwisePreferences
from puzzlebox.fields import param
from puzzlebox.ops.preference_losses import dpo_loss, hinge_loss, robust_dpo_loss
from puzzlebox.types import Array


class DPO(PairwisePreferences):
    """Makes chosen completions likelier and rejected ones less likely, both against the starting model."""

    loss: str = param("sigmoid", "of the gap: DPO's, or another", choices=("sigmoid", "hinge", "robust"))
    label_smoothing: float = param(0.0, "share of the preferences taken to be wrong", low=0.0, high=0.49)

    def pair_loss(self, chosen: Array, rejected: Array) -> Array:
        if self.loss == "hinge":
            return hinge_loss(chosen, rejected, self.beta)
        loss = robust_dpo_loss if self.loss == "robust" else dpo_loss
        return loss(chosen, rejected, self.beta, self.label_smoothing)
