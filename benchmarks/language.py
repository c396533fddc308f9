"""SmolLM2-135M-Instruct beside transformers and TRL: decoding, and a step of GRPO, SFT and DPO.

Same weights in float32, same batches and lengths, every weight trained, no gradient checkpointing, two cores. Decoding
draws every token (nothing stops early). The figures are tokens per second for decoding and rows per second elsewhere.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.race import Racer, peer_python, race

from puzzlebox.data.huggingface import save_decoder
from puzzlebox.runs.build import load_model

ROUNDS = 2
TASKS = {
    "decode": {"rows": 16, "prompt": 16, "tokens": 64},
    "grpo": {"rows": 16, "group": 8, "prompt": 16, "tokens": 32, "steps": 2},
    "sft": {"rows": 8, "tokens": 128, "steps": 4},
    "dpo": {"rows": 4, "prompt": 32, "tokens": 32, "steps": 4},
}
GOALS = {"decode": 1.5, "grpo": 2.0, "sft": 1.0, "dpo": 1.0}
PEERS = {"decode": "transformers", "grpo": "TRL", "sft": "TRL", "dpo": "TRL"}
REWARD = """def score(completions, **columns):
    return [float(sum(c == "e" for c in text)) for text in completions]
"""


def write_data(folder: Path) -> None:
    """Rows of known length: a word that is one token, so many times."""

    def words(word: str, count: int) -> str:
        return f" {word}" * count

    def rows(name: str, rows: list[dict]) -> None:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    some = ["time", "house", "water", "school", "book", "music", "light", "table"] * 32
    grpo, sft, dpo = TASKS["grpo"], TASKS["sft"], TASKS["dpo"]
    rows("grpo", [{"prompt": words(word, grpo["prompt"])} for word in some])
    rows("sft", [{"text": words(word, sft["tokens"] - 1)} for word in some])
    rows(
        "dpo",
        [
            {
                "prompt": words(word, dpo["prompt"]),
                "chosen": words("good", dpo["tokens"] - 1),
                "rejected": words("bad", dpo["tokens"] - 1),
            }
            for word in some
        ],
    )
    (folder / "reward.py").write_text(REWARD)


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = load_model("smollm2")
        save_decoder(model.decoder, folder / "model")
        model.tokenizer.save(folder / "model")
        write_data(folder)
        for task, settings in TASKS.items():
            settings = settings | {"task": task, "folder": name}
            racers = [Racer("puzzlebox", "language_ours", settings)]
            python = peer_python()
            if python:
                racers.append(Racer(PEERS[task], "peers_trl", settings, python, threads=2))
            rows += race(settings, racers, ROUNDS, {PEERS[task]: GOALS[task]})
            print(rows[-2:], file=sys.stderr, flush=True)
    print(json.dumps({"settings": TASKS, "rounds": ROUNDS, "rows": rows}))


if __name__ == "__main__":
    main()
