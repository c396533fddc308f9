"""Which learning rate? A sweep with five seeds each in one compiled program, and a verdict that knows how sure it is.

Run it with: python examples/sweep_and_compare.py
"""

import tempfile
from pathlib import Path

import puzzlebox


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "sweep"
        figures = puzzlebox.train(
            "ppo", "CartPole-v1", seeds=5, steps=20_000, learning_rate=[1e-5, 1e-3], run=run, episodes=20, quiet=True
        )
        for row in figures["table"]:
            low, high = row["return_ci"]
            print(f"learning rate {row['learning_rate']:g}: return {row['return_iqm']:.0f} ({low:.0f} to {high:.0f})")
        print(puzzlebox.compare([run])["sentence"])


if __name__ == "__main__":
    main()
