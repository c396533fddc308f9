"""A reward of your own: a model that wrote random bytes learns to write vowels, with GRPO.

Run it with: python examples/own_reward.py

The same from the command line: puzzlebox train grpo prompts.jsonl,reward=examples/own_reward.py:vowels,max_tokens=8
"""

import json
import tempfile
from pathlib import Path

import puzzlebox
from puzzlebox.runs.directory import Run


def vowels(completions: list[str], **columns) -> list[float]:
    """The share of a completion's characters that are vowels; the columns of the file come by name."""
    return [sum(c in "aeiou" for c in text) / max(len(text), 1) for text in completions]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "prompts.jsonl", Path(folder) / "run"
        data.write_text(
            "\n".join(json.dumps({"prompt": f"{word}:"}) for word in ("sing", "say", "shout", "hum", "sigh"))
        )
        puzzlebox.train(
            "grpo",
            f"{data},reward={__file__}:vowels,max_tokens=8",
            model="new,layers=1,width=32,heads=2,kv_heads=2,hidden=64",
            steps=60,
            num_prompts=4,
            group_size=16,
            learning_rate=3e-3,
            episodes=2,
            run=run,
            quiet=True,
        )
        rewards = [row["reward"][0] for row in Run.open(run).metrics()]
    print(f"earned {rewards[0]:.2f} of 1 at first, {max(rewards):.2f} at best, {rewards[-1]:.2f} in the end")


if __name__ == "__main__":
    main()
