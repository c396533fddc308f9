"""Hyper-parameters that differ from an algorithm's defaults on a particular world, found by sweeping them.

Those on text tasks are for small models from nothing, which read the plain style; the chat style is for models that
know language already, whose defaults stand in the algorithms themselves.

A run's ``config.json`` always shows the values used, whether they came from here, from a default or from a flag.
"""

from __future__ import annotations

import re
from typing import Any

PLATFORMER: dict[str, Any] = {
    "steps": 700_000,
    "num_envs": 32,
    "num_steps": 128,
    "num_minibatches": 8,
    "learning_rate": 1e-3,
}
SCREENS: dict[str, Any] = {  # the usual ones of PPO on Atari: 10 million steps are 40 million frames
    "steps": 10_000_000,
    "num_steps": 128,
    "learning_rate": 2.5e-4,
    "clip_ratio": 0.1,
    "entropy_coef": 0.01,
    "hidden": (512,),
}
PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    ("ppo", "atari:"): SCREENS,
    ("ppo", "retro:"): SCREENS,
    ("dqn", "atari:"): {  # Mnih et al. 2015, whose counts are steps of four frames, with Adam
        "steps": 10_000_000,
        "capacity": 1_000_000,
        "batch_size": 32,
        "learning_starts": 50_000,
        "learning_rate": 1e-4,
        "epsilon_end": 0.1,
        "exploration_fraction": 0.1,
        "target_every": 312,  # 9,984 steps
        "target_rate": 1.0,
        "double": False,
        "hidden": (512,),
    },
    ("ppo", "minatar:"): {
        "steps": 3_000_000,
        "num_envs": 64,
        "num_steps": 64,
        "num_minibatches": 8,
        "num_epochs": 3,
        "learning_rate": 2e-3,
        "entropy_coef": 0.01,
        "hidden": (128,),
    },
    ("ppo", "Acrobot-v1"): {"steps": 500_000, "num_envs": 16, "entropy_coef": 0.01},
    ("ppo", "Pendulum-v1"): {
        "steps": 500_000,
        "num_steps": 128,
        "num_epochs": 10,
        "learning_rate": 1e-3,
        "discount": 0.95,
    },
    ("ppo", "gym:LunarLander"): {
        "steps": 1_000_000,
        "num_envs": 16,
        "num_steps": 128,
        "num_minibatches": 32,
        "learning_rate": 5e-4,
        "discount": 0.999,
        "gae_lambda": 0.98,
        "entropy_coef": 0.01,
    },
    ("clone", "tic_tac_toe"): {"steps": 20_000, "width": 64},
    ("clone", "connect_four"): {
        "steps": 200_000,
        "network": "conv",
        "width": 32,
        "blocks": 1,
        "random_moves": 10,
        "capacity": 131_072,
    },
    ("ppo", "platformer/level-1"): PLATFORMER,
    ("ppo", "platformer/level-2"): PLATFORMER,
    ("ppo", "platformer/level-3"): PLATFORMER,
    ("ppo", "platformer/random"): PLATFORMER,
    ("alphazero", "tic_tac_toe"): {"steps": 120_000, "width": 64},
    ("alphazero", "connect_four"): {  # an hour of two cores
        "steps": 2_400_000,
        "anneal_over": 2_400_000,
        "num_simulations": 16,
        "search_share": 0.5,
        "network": "conv",
        "width": 32,
        "blocks": 1,
        "random_moves": 10,
        "capacity": 131_072,
        "num_updates": 8,
        "average_rate": 0.01,
    },
    ("alphazero", "pgx:gardner_chess"): {
        "anneal_over": 200_000,
        "num_simulations": 16,
        "search_share": 0.5,
        "network": "conv",
        "width": 32,
        "blocks": 1,
        "random_moves": 6,
        "capacity": 65_536,
        "num_updates": 8,
        "average_rate": 0.01,
    },
    ("muzero", "tic_tac_toe"): {
        "steps": 200_000,
        "capacity": 40_000,
        "num_envs": 64,
        "num_updates": 48,
        "unroll_steps": 3,
        "td_steps": 9,
        "learning_rate": 5e-3,
        "discount": 1.0,
        "random_moves": 4,
        "value_limit": 1.0,
        "num_bins": 21,
    },
    ("muzero", "connect_four"): {
        "steps": 900_000,
        "num_envs": 64,
        "num_steps": 8,
        "num_updates": 8,
        "capacity": 100_000,
        "unroll_steps": 3,
        "random_moves": 4,
        "reanalyse": 0,
        "learning_rate": 2e-3,
        "discount": 1.0,
        "value_limit": 1.0,
        "num_bins": 21,
        "network": "conv",
        "width": 32,
    },
    ("sft", "arith"): {"steps": 2500, "learning_rate": 3e-3, "batch_size": 16, "num_examples": 30_000},
    ("ppo_lm", "arith"): {"steps": 60, "num_prompts": 128, "learning_rate": 1e-4, "kl_coef": 0.01},
    ("grpo", "arith"): {"steps": 160, "learning_rate": 2e-4, "num_prompts": 32, "num_minibatches": 4},
    ("rloo", "arith"): {"learning_rate": 3e-4, "num_prompts": 32, "group_size": 8},
    ("remax", "arith"): {"steps": 60, "learning_rate": 3e-4, "num_prompts": 256},
    ("star", "arith"): {"steps": 8, "num_problems": 2048, "learning_rate": 1e-3, "updates": 200, "growth": 1.0},
    ("reward_model", "arith"): {"num_prompts": 160, "num_samples": 16, "batch_size": 64, "learning_rate": 3e-3},
    ("dpo", "arith"): {"num_prompts": 160, "num_samples": 16, "batch_size": 32, "beta": 1.0, "learning_rate": 1e-4},
    ("ipo", "arith"): {"num_prompts": 160, "num_samples": 16, "batch_size": 32, "beta": 0.5, "learning_rate": 1e-4},
    ("kto", "arith"): {
        "num_prompts": 160,
        "num_samples": 16,
        "batch_size": 64,
        "beta": 0.5,
        "learning_rate": 1e-4,
        "desirable_weight": 3.0,
    },
    ("online_dpo", "arith"): {"steps": 100, "num_prompts": 128, "beta": 0.5, "learning_rate": 1e-4},
    ("spin", "arith"): {"batch_size": 64, "iteration_length": 50, "beta": 1.0, "learning_rate": 1e-4},
}


def preset(algorithm: str, env_name: str) -> dict[str, Any]:
    """The values that replace the defaults of ``algorithm`` on ``env_name``: none with the option ``style=chat``.

    No other option matters, nor the version of a Gymnasium environment. An entry such as ``atari:`` holds for all
    worlds with this prefix that have none of their own.
    """
    base, *options = env_name.split(",")
    if any(option.replace(" ", "") == "style=chat" for option in options):
        return {}
    prefix, colon, _ = base.partition(":")
    if prefix == "gym":
        base = re.sub(r"-v\d+$", "", base)
    return dict(PRESETS.get((algorithm, base), PRESETS.get((algorithm, prefix + colon), {})))
