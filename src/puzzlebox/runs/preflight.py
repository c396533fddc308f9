"""Before a language model trains: how many parameters, how much memory; what cannot fit is refused.

Two looks. Before anything is made: 16 bytes for every trained parameter (its float32 weight and gradient, and Adam's
two moments; 16 GB per billion). Then, at the first update, the memory of the compiled program itself; it is compiled
once, and the second use finds it in the cache of compiled programs.
"""

from __future__ import annotations

import sys
from typing import Any

import equinox as eqx
import jax
import numpy as np

from puzzlebox.errors import UsageError
from puzzlebox.runs.memory import available, fits, size
from puzzlebox.types import LanguageAlgorithm, State, Tell

BYTES_PER_TRAINED = 16
WAY_OUT = "--batch-size (or --num-prompts) smaller, --lora-rank 16, shorter texts, or fewer --seeds"


def check(algorithm: LanguageAlgorithm, shapes: State, num_agents: int) -> str:
    """One line about parameters and memory; ``shapes`` are those of one agent's state.

    Raises UsageError where weights, gradients and Adam alone cannot fit, or a person shall judge who cannot be asked.
    """
    if algorithm.asks_a_person and not sys.stdin.isatty():
        raise UsageError("human is true, but no terminal is there to ask in; run it without a pipe")
    total, trained = parameters(algorithm, shapes)
    most, where = available()
    needed = BYTES_PER_TRAINED * trained * num_agents
    if most is not None and needed > most:
        raise UsageError(
            f"training {trained:,} parameters of {num_agents} agents takes about {size(needed)} (16 bytes each: "
            f"weight, gradient, Adam), and {where} has {size(most)}; try {WAY_OUT}"
        )
    free = "" if most is None else f", {size(most)} free in {where}"
    share = "all of them train" if trained >= total else f"{trained:,} train"
    each = f" for {num_agents} agents" if num_agents > 1 else ""
    return f"{total:,} parameters, {share}: weights, gradients and Adam take about {size(needed)}{each}{free}"


def parameters(algorithm: LanguageAlgorithm, shapes: State) -> tuple[int, int]:
    """Parameters of the starting model, and those that one agent trains."""
    count = lambda tree: sum(int(np.prod(x.shape)) for x in jax.tree.leaves(tree))  # noqa: E731
    return count(eqx.filter(algorithm.start.decoder, eqx.is_inexact_array)), count(shapes.params)


def check_update(program: Any, device: jax.Device, tell: Tell) -> None:
    """Tells the memory of a compiled update; raises UsageError where it cannot fit."""
    tell(fits(program, "an update", "model and batch", WAY_OUT, device))
