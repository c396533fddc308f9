"""Algorithms by name; each is one file, and what several of them share stands beside them.

An algorithm knows its hyper-parameters, its state and one step of learning. Nothing here knows of runs on disk, of
commands or of pictures.
"""

from __future__ import annotations

import importlib
from typing import Any

from puzzlebox.errors import unknown

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
    return ALGORITHMS.get(name, "").startswith("language.")


def of_games(name: str) -> bool:
    """Whether ``name`` is an algorithm that plays games by search (`types.Searching`); False for none at all."""
    return ALGORITHMS.get(name, "").startswith("planning.")


def algorithm_class(name: str) -> Any:
    """The class called ``name``; raises UsageError with the nearest names when there is none."""
    if name not in ALGORITHMS:
        raise unknown("algorithm", name, ALGORITHMS)
    module, _, attribute = ALGORITHMS[name].partition(":")
    return getattr(importlib.import_module(f"puzzlebox.algorithms.{module}"), attribute)
