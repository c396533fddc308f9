"""PPO on CartPole beside Stable-Baselines3 and rejax: environment steps per second, learning included.

The worlds are each library's own: ours and rejax's are compiled, Stable-Baselines3 steps Gymnasium's in a DummyVecEnv.
"""

from __future__ import annotations

import json

from benchmarks.race import contest

SHARED = {"num_epochs": 4, "learning_rate": 1e-3, "hidden": [64, 64]}
SMALL = SHARED | {"num_envs": 8, "num_steps": 128, "num_minibatches": 4}
LARGE = SHARED | {"num_envs": 64, "num_steps": 64, "num_minibatches": 16}
ROUNDS = 5


def main() -> None:
    rows = contest(
        {"task": "8 × 128", "algorithm": "ppo", "env": "CartPole-v1", "hyperparameters": SMALL},
        {"puzzlebox": 150_000, "stable-baselines3": 10_240},
        ROUNDS,
        {"stable-baselines3": 8},
    )
    rows += contest(
        {"task": "64 × 64", "algorithm": "ppo", "env": "CartPole-v1", "hyperparameters": LARGE},
        {"puzzlebox": 300_000, "stable-baselines3": 40_960, "rejax": 150_000},
        ROUNDS,
        {"rejax": 1.5},
    )
    print(json.dumps({"settings": {"8 × 128": SMALL, "64 × 64": LARGE}, "rounds": ROUNDS, "rows": rows}))


if __name__ == "__main__":
    main()
