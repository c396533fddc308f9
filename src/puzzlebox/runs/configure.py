"""From a request to the config of a run: what was asked is checked here, before anything compiles or is written."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from puzzlebox.algorithms import algorithm_class, of_language
from puzzlebox.algorithms.presets import preset
from puzzlebox.errors import UsageError
from puzzlebox.fields import Parameter, params, parse, spellings, unknown_field, value_of
from puzzlebox.runs import memory
from puzzlebox.runs.agents import grid
from puzzlebox.runs.build import check_kind, make_instance
from puzzlebox.runs.directory import family_of

MOST_SEEDS, MOST_STEPS = 1_000_000, 2**31 - 1  # steps are counted in int32


def configure(algorithm: str, env: str, seeds: int, seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The request, checked and complete, as ``config.json`` keeps it.

    ``hyperparameters`` may hold values or text, under any of their `spellings`; several numbers are swept. Values not
    given are those of the preset for this world, else the algorithm's defaults. ``agents`` has one entry per agent: its
    seed and its own swept values. ``steps`` is rounded down to whole iterations. Raises UsageError for the first thing
    that is wrong.
    """
    # check the seeds, the algorithm and the world
    if not 1 <= seeds <= MOST_SEEDS:
        raise UsageError(f"seeds is {seeds}; it must be at least 1" + f" and at most {MOST_SEEDS}" * (seeds > 1))
    if not 0 <= seed <= 2**32 - 1 - seeds:
        raise UsageError(f"seed is {seed}; it must be between 0 and {2**32 - 1 - seeds}")
    fields = params(algorithm_class(algorithm))
    check_kind(algorithm, env)

    # read the hyper-parameters
    values, sweep = preset(algorithm, env), {}
    spelled = {spelling: name for name in fields for spelling in spellings(name)}
    for given, value in hyperparameters.items():
        if given not in spelled:
            raise unknown_field(f"hyper-parameter of {algorithm}", given, fields)
        name = spelled[given]
        values[name], several = read_values(name, fields[name], value)
        if several:
            sweep[name] = several
    if sweep and of_language(algorithm):
        raise UsageError(f"{next(iter(sweep))} cannot be swept for {algorithm}; train once per value")

    # build it once: an algorithm checks its own values when it is made, and each swept value needs that too
    instance = make_instance(algorithm, env, values)
    for name, several in sweep.items():
        for value in several:
            dataclasses.replace(instance, **{name: value})
    if instance.iteration_steps > MOST_STEPS:
        raise UsageError(
            f"one iteration of {algorithm} would take {instance.iteration_steps} steps, and {MOST_STEPS} can be "
            f"counted; try {memory.WAY_OUT}"
        )
    if instance.steps < instance.iteration_steps:
        raise UsageError(
            f"steps is {instance.steps}, but one iteration of {algorithm} takes {instance.iteration_steps}"
        )

    # one entry per agent
    agent_seeds, swept = grid(list(range(seed, seed + seeds)), sweep)
    agents = [
        {"seed": s} | {name: float(column[i]) for name, column in swept.items()} for i, s in enumerate(agent_seeds)
    ]
    return {
        "algorithm": algorithm,
        "env": env,
        "family": family_of(algorithm),
        "seed": seed,
        "seeds": seeds,
        "steps": instance.steps // instance.iteration_steps * instance.iteration_steps,
        "hyperparameters": {name: value_of(instance, name) for name in fields},
        "sweep": sweep,
        "agents": agents,
    }


def read_values(name: str, field: Parameter, value: Any) -> tuple[Any, list[float]]:
    """A hyper-parameter's value (of a swept one the first), and the list of its values, empty where it is not swept.

    Only numbers with a decimal point can be swept: they become traced values of one program, while whole numbers, text
    and truth values decide shapes or code. Raises UsageError where one of those is given several values.
    """
    if isinstance(value, str):
        if isinstance(field.default, float) and "," in value:
            value = [parse(name, field.default, part) for part in value.split(",")]
        else:
            value = parse(name, field.default, value)
    if isinstance(value, list | np.ndarray) and not isinstance(field.default, tuple):
        if not isinstance(field.default, float):
            raise UsageError(f"{name} cannot be swept in one program (it fixes shapes or code); train once per value")
        return float(value[0]), [float(v) for v in value]
    return (tuple(value) if isinstance(field.default, tuple) else value), []
