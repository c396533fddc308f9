"""Before a language model trains: how many parameters, how much memory, how long; what cannot fit is refused.

Two looks. Before anything is made: 16 bytes for every trained parameter (its float32 weight and gradient, and Adam's
two moments; 16 GB per billion), and the rows of a file, which must fit the model. Then, at the first update, the memory
of the compiled program itself; it is compiled once, and the second use finds it in the cache of compiled programs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np

from puzzlebox.errors import UsageError
from puzzlebox.runs.language_agents import LanguageAgents
from puzzlebox.runs.memory import available, fits, size

BYTES_PER_TRAINED = 16
WAY_OUT = "--batch-size (or --num-prompts) smaller, --lora-rank 16, shorter texts, or fewer --seeds"


def check(agents: LanguageAgents) -> str:
    """One line about parameters and memory.

    Raises UsageError where weights, gradients and Adam alone cannot fit, or a person shall judge who cannot be asked.
    """
    if agents.algorithm.asks_a_person and not sys.stdin.isatty():
        raise UsageError("human is true, but no terminal is there to ask in; run it without a pipe")
    total, trained = parameters(agents)
    most, where = available()
    needed = BYTES_PER_TRAINED * trained * agents.num_agents
    if most is not None and needed > most:
        raise UsageError(
            f"training {trained:,} parameters of {agents.num_agents} agents takes about {size(needed)} (16 bytes each: "
            f"weight, gradient, Adam), and {where} has {size(most)}; try {WAY_OUT}"
        )
    free = "" if most is None else f", {size(most)} free in {where}"
    share = "all of them train" if trained >= total else f"{trained:,} train"
    each = f" for {agents.num_agents} agents" if agents.num_agents > 1 else ""
    return f"{total:,} parameters, {share}: weights, gradients and Adam take about {size(needed)}{each}{free}"


def parameters(agents: LanguageAgents) -> tuple[int, int]:
    """Parameters of the starting model, and those that one agent trains."""
    count = lambda tree: sum(int(np.prod(x.shape)) for x in jax.tree.leaves(tree))  # noqa: E731
    total = count(eqx.filter(agents.algorithm.start.decoder, eqx.is_inexact_array))
    return total, count(agents.shapes()[0].params)


def measure_first_update(agents: LanguageAgents, note: Callable[[str], None]) -> None:
    """Has the first update tell its memory before it runs; one that cannot fit raises UsageError instead."""
    algorithm, device = agents.members[0]
    algorithm.listener.tell = lambda program: note(fits(program, "an update", "model and batch", WAY_OUT, device))


def duration(seconds: float, steps: int, left: int) -> str:
    """One line about time, from ``seconds`` that ``steps`` steps of all agents took; ``left`` steps remain."""
    each = seconds / steps
    rest = each * left
    shown = f"{rest:.0f} s" if rest < 120 else f"{rest / 60:.0f} min" if rest < 7200 else f"{rest / 3600:.1f} h"
    return f"{each:.3g} s per step, about {shown} left"
