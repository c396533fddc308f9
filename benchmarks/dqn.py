"""DQN on CartPole with one update of 64 per environment step, beside Stable-Baselines3 and rejax: steps per second.

"1 × 1" takes one step of one world, then one update, as Stable-Baselines3 does. "8 × 4" takes 32 steps of 8 worlds,
then 32 updates; there the peers do the same ratio in the nearest form that they have (see ``peers_*.py``).
"""

from __future__ import annotations

import json

from benchmarks.race import contest

SHARED = {
    "batch_size": 64,
    "capacity": 10_000,
    "learning_starts": 1_000,
    "learning_rate": 5e-4,
    "hidden": [64, 64],
    "double": False,
    "target_rate": 1.0,
}
SINGLE = SHARED | {"num_envs": 1, "num_steps": 1, "num_updates": 1, "target_every": 256}
BLOCKS = SHARED | {"num_envs": 8, "num_steps": 4, "num_updates": 32, "target_every": 8}
ROUNDS = 3


def main() -> None:
    rows = []
    for task, hyperparameters in (("1 × 1", SINGLE), ("8 × 4", BLOCKS)):
        rows += contest(
            {"task": task, "algorithm": "dqn", "env": "CartPole-v1", "hyperparameters": hyperparameters},
            {"puzzlebox": 16_000, "stable-baselines3": 1_024, "rejax": 6_400},
            ROUNDS,
            {"stable-baselines3": 8, "rejax": 2},
        )
    print(json.dumps({"settings": {"1 × 1": SINGLE, "8 × 4": BLOCKS}, "rounds": ROUNDS, "rows": rows}))


if __name__ == "__main__":
    main()
