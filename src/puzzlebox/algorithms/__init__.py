"""Algorithms by name; each is one file, and what several of them share stands beside them.

An algorithm knows its hyper-parameters, its state and one step of learning. Nothing here knows of runs on disk, of
commands or of pictures.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from puzzlebox.envs.own import is_own, load_own
from puzzlebox.errors import UsageError, unknown

# name -> "module:class" inside puzzlebox.algorithms, imported only when asked for
ALGORITHMS = {
    "monte_carlo": "tabular.monte_carlo:MonteCarlo",
    "sarsa": "tabular.sarsa:Sarsa",
    "expected_sarsa": "tabular.expected_sarsa:ExpectedSarsa",
    "q_learning": "tabular.q_learning:QLearning",
    "dyna_q": "tabular.dyna_q:DynaQ",
    "reinforce": "deep.reinforce:Reinforce",
    "actor_critic": "deep.actor_critic:ActorCritic",
    "dqn": "deep.dqn:DQN",
    "ppo": "deep.ppo:PPO",
    "clone": "planning.clone:Clone",
    "alphazero": "planning.alphazero:AlphaZero",
    "muzero": "planning.muzero:MuZero",
    "sft": "language.sft:SFT",
    "grpo": "language.grpo:GRPO",
    "ppo_lm": "language.ppo:PPO",
    "remax": "language.remax:ReMax",
    "rloo": "language.rloo:RLOO",
    "reward_model": "language.reward_model:RewardModel",
    "dpo": "language.dpo:DPO",
    "ipo": "language.ipo:IPO",
    "kto": "language.kto:KTO",
    "online_dpo": "language.online_dpo:OnlineDPO",
    "spin": "language.spin:SPIN",
    "star": "language.star:STaR",
}


def of_language(name: str) -> bool:
    """Whether ``name`` is an algorithm for language models; False for no algorithm at all."""
    if is_own(name):
        from puzzlebox.algorithms.language.fine_tuning import FineTuning  # only for these: it brings the decoder along

        return issubclass(algorithm_class(name), FineTuning)
    return ALGORITHMS.get(name, "").startswith("language.")


def of_games(name: str) -> bool:
    """Whether ``name`` is an algorithm that plays games by search (`types.Searching`); False for none at all."""
    if is_own(name):
        return {"search", "playing_members"} <= set(dir(algorithm_class(name)))
    return ALGORITHMS.get(name, "").startswith("planning.")


def algorithm_class(name: str) -> Any:
    """The class called ``name``, or one in a file of the user's, ``my_ppo.py:MyPPO``.

    Raises UsageError with the nearest names when there is none, and for a class that is no algorithm.
    """
    if is_own(name):
        return own_algorithm(name)
    if name not in ALGORITHMS:
        raise unknown("algorithm", name, ALGORITHMS, by_family())
    module, _, attribute = ALGORITHMS[name].partition(":")
    return getattr(importlib.import_module(f"puzzlebox.algorithms.{module}"), attribute)


def by_family() -> str:
    """All names for a person: ``tabular: sarsa, …; deep: …``."""
    families: dict[str, list[str]] = {}
    for name, place in ALGORITHMS.items():
        families.setdefault(place.partition(".")[0], []).append(name)
    return "; ".join(f"{family}: {', '.join(names)}" for family, names in families.items())


def own_algorithm(name: str) -> Any:
    kind = load_own(name, "algorithm")
    needed = ("env", "steps", "iteration_steps", "init", "step", "policy")
    fields = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    lacking = [member for member in needed if member not in {*dir(kind), *fields}]
    if not isinstance(kind, type) or lacking:
        raise UsageError(
            f"{name} is no algorithm: it lacks {', '.join(lacking) or 'a class'}; copy one from puzzlebox.algorithms, "
            "such as examples/own_ppo.py"
        )
    return kind
