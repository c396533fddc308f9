"""PPO on Gymnasium's own CartPole, which both libraries step in Python: environment steps per second."""

from __future__ import annotations

import json

from benchmarks.ppo import ROUNDS, SMALL
from benchmarks.race import contest


def main() -> None:
    rows = contest(
        {"task": "8 × 128", "algorithm": "ppo", "env": "gym:CartPole-v1", "hyperparameters": SMALL},
        {"puzzlebox": 20_480, "stable-baselines3": 10_240},
        ROUNDS,
        {"stable-baselines3": 2},
    )
    print(json.dumps({"settings": {"8 × 128": SMALL}, "rounds": ROUNDS, "rows": rows}))


if __name__ == "__main__":
    main()
