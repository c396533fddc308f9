"""Pairs of answers for DPO: an exact product is better than a round number.

Run it with: python examples/estimates.py
It writes estimates.jsonl, for: puzzlebox train dpo estimates.jsonl --model smollm2
"""

import json
from pathlib import Path


def pair(a: int, b: int) -> dict:
    product = a * b
    near = round(product, -1)
    return {
        "prompt": [{"role": "user", "content": f"Estimate {a}×{b}."}],
        "chosen": [{"role": "assistant", "content": str(product)}],
        "rejected": [{"role": "assistant", "content": str(near + 10 * (near == product))}],
    }


def main() -> None:
    rows = [pair(a, b) for a in range(2, 21) for b in range(a, 21)]
    Path("estimates.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"estimates.jsonl: {len(rows)} pairs")


if __name__ == "__main__":
    main()
