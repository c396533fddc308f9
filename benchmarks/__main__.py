"""``python -m benchmarks [NAME ...]``: measures, prints tables, writes ``benchmarks/results/NAME.json``.

Every benchmark is a module that prints one JSON object when it is run with ``--json``; it runs in a process of its own.
Peers are run by the interpreter that ``--peer-python`` or the variable PEER_PYTHON names; without it only ours is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
NAMES = ("ppo", "dqn", "host", "seeds", "start", "solve", "tabular", "language", "conv", "search", "atari")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cores": cores, "processor": models[0] if models else platform.machine(), "system": platform.system()}


def load() -> float | None:
    """How many programs wanted a core in the last minute, ours included: above the cores, figures are too low."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def show(result: dict[str, Any]) -> None:
    """Lists of records as tables, the rest as lines."""
    for key, value in result.items():
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            columns = list(dict.fromkeys(name for row in value for name in row))
            cells = [columns] + [["" if row.get(c) is None else str(row[c]) for c in columns] for row in value]
            widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
            for row in cells:
                print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        else:
            print(f"{key}: {value}")
    print(flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures speed, beside other libraries.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; without one, all")
    parser.add_argument("--peer-python", help="the interpreter that has the other libraries installed")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(NAMES)}")
    environment = dict(os.environ)
    if arguments.peer_python:
        environment["PEER_PYTHON"] = arguments.peer_python
    failed = False
    for name in arguments.names or NAMES:
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
        before, began = load(), time.perf_counter()
        done = subprocess.run(command, cwd=HERE.parent, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"{name} ended with status {done.returncode}", file=sys.stderr)
            failed = True
            continue
        head = {
            "benchmark": name,
            "date": time.strftime("%Y-%m-%d"),
            "machine": machine(),
            "load_before_and_after": [before, load()],
            "seconds": round(time.perf_counter() - began),
        }
        result = head | json.loads(done.stdout)
        (HERE / "results").mkdir(exist_ok=True)
        text = json.dumps(result, indent=2, ensure_ascii=False)
        (HERE / "results" / f"{name}.json").write_text(text + "\n")
        show(result)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
