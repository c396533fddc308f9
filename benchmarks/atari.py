"""PPO on Pong: steps of four frames per second, learning included.

Beside Stable-Baselines3, and beside a plain PyTorch loop in the manner of CleanRL. All play the console itself
(ale-py), see four frames of 84 × 84 and train the network of Mnih et al. 2015.
"""

from __future__ import annotations

import json

from benchmarks.race import contest

SETTINGS = {
    "num_envs": 8,
    "num_steps": 128,
    "num_minibatches": 4,
    "num_epochs": 4,
    "learning_rate": 2.5e-4,
    "clip_ratio": 0.1,
    "hidden": [512],
}
ROUNDS = 3


def main() -> None:
    rows = contest(
        {"task": "Pong, 8 × 128", "algorithm": "ppo", "env": "atari:pong", "hyperparameters": SETTINGS},
        {"puzzlebox": 2048, "stable-baselines3": 1024, "plain PyTorch loop": 1024},
        ROUNDS,
        {"stable-baselines3": 1.5, "plain PyTorch loop": 1.5},
    )
    print(json.dumps({"settings": SETTINGS, "rounds": ROUNDS, "rows": rows}))


if __name__ == "__main__":
    main()
