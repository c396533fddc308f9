"""Before a language model trains: how many parameters, how much memory, how long; what cannot fit is refused.

Two looks. Before anything is made: 16 bytes for every trained parameter (its float32 weight and gradient, and Adam's
two moments; 16 GB per billion), and the rows of a file, which must fit the model. Then, at the first update, the memory
of the compiled program itself; it is compiled once, and the second use finds it in the cache of compiled programs.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from puzzlebox.acting.judge import Judged
from puzzlebox.algorithms.language import common
from puzzlebox.algorithms.language.sft import SFT
from puzzlebox.algorithms.language.spin import SPIN
from puzzlebox.data.dataset_rows import Row, Text
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.errors import UsageError
from puzzlebox.runs.language_agents import LanguageAgents, asks
from puzzlebox.runs.memory import available, fits, size
from puzzlebox.types import TaskOfRows, Writes

BYTES_PER_TRAINED = 16
UPDATES = ("_improve", "learn")  # what the algorithms call their jitted update
WAY_OUT = "--batch-size (or --num-prompts) smaller, --lora-rank 16, shorter texts, or fewer --seeds"


def check(agents: LanguageAgents) -> str:
    """One line about parameters and memory.

    Raises UsageError where weights, gradients and Adam alone cannot fit, or a person shall judge who cannot be asked.
    """
    if asks(agents.algorithm) and not sys.stdin.isatty():
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


def check_rows(agents: LanguageAgents) -> None:
    """Raises UsageError for the first row of a file that the algorithm could not use: too long, or without verdict."""
    algorithm, env, model = agents.algorithm, agents.algorithm.env, agents.algorithm.start
    if isinstance(algorithm, SFT):
        algorithm._rows()  # which the first step finds made
    if not isinstance(env, TaskOfRows):
        return
    writes = isinstance(algorithm, Writes)
    if writes and not (isinstance(algorithm, SPIN) or isinstance(env, Judged) or asks(algorithm)):
        env.check_verdicts()
    more = (algorithm.max_tokens if writes else 0) or env.max_tokens
    for row in env.dataset.rows:
        answers = [text for text in (row.completion, row.chosen, row.rejected, *(row.completions or ())) if text]
        answers += [row.text] if isinstance(row.text, tuple) else []  # plain text is cut where a row ends
        if not writes and answers:
            check_answers(model, row, answers)
        elif not isinstance(algorithm, SFT):
            check_prompt(model, row, env.chat, more)


def check_prompt(model: LanguageModel, row: Row, chat: bool, more: int) -> None:
    """Raises UsageError where ``more`` tokens have no place behind the row's prompt."""
    if row.prompt is None:
        raise UsageError(f"{row.source} has no prompt to complete; sft learns from such a file")
    prompt = row.prompt if isinstance(row.prompt, str) else list(row.prompt)
    length, context = len(model.encode(model.ask(prompt, chat))), model.decoder.config.context
    if length + more > context:
        raise UsageError(
            f"{row.source}: the prompt has {length} tokens, and {more} more for a completion do not fit into the "
            f"model's context of {context}; shorten the prompt or lower --max-tokens"
        )


def check_answers(model: LanguageModel, row: Row, answers: Sequence[Text]) -> None:
    """Raises UsageError where one of the row's answers, with its prompt, is longer than the model's context."""
    longest = max(sum(map(len, common.written(model, row.prompt, answer))) for answer in answers)
    context = model.decoder.config.context
    if longest - 1 > context:
        raise UsageError(
            f"{row.source} has {longest} tokens with its prompt, more than the model's context of {context}; shorten "
            f"it or choose a model with a longer context"
        )


def measure_first_update(agents: LanguageAgents, note: Callable[[str], None]) -> None:
    """Lets the first update of the first agent tell its memory; it then goes on as it would have.

    The update is the algorithm's method named in `UPDATES`. One that cannot fit raises UsageError instead of being run.
    """
    algorithm, device = agents.members[0]
    kind = type(algorithm)
    name = next((name for name in UPDATES if hasattr(getattr(kind, name, None), "lower")), None)
    if name is None:
        return

    def update(self: Any, *arguments: Any) -> Any:
        if agents.members[0][0] is algorithm:  # measured already, in the same call of `advance`
            return getattr(kind, name)(algorithm, *arguments)
        agents.members[0] = (algorithm, device)
        with warnings.catch_warnings():  # as Equinox does where it runs the program
            warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
            compiled = getattr(kind, name).lower(algorithm, *arguments).compile()
        note(fits(compiled.compiled, "an update", "model and batch", WAY_OUT, device))
        return compiled(algorithm, *arguments)

    probe: Any = object.__new__(types.new_class(kind.__name__, (kind,), {}, lambda space: space.update({name: update})))
    for field, value in vars(algorithm).items():
        object.__setattr__(probe, field, value)
    agents.members[0] = (probe, device)


def duration(seconds: float, steps: int, left: int) -> str:
    """One line about time, from ``seconds`` that ``steps`` steps of all agents took; ``left`` steps remain."""
    each = seconds / steps
    rest = each * left
    shown = f"{rest:.0f} s" if rest < 120 else f"{rest / 60:.0f} min" if rest < 7200 else f"{rest / 3600:.1f} h"
    return f"{each:.3g} s per step, about {shown} left"
