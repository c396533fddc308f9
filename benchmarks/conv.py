"""The network of Mnih et al. 2015 on 256 screens: pictures per second, forward and with the gradient, beside PyTorch.

"puzzlebox" is what `nets.conv` chooses on this machine, "XLA's convolution" the same network with that.
"""

from __future__ import annotations

import json

from benchmarks.race import Racer, peer_python, race

BATCH, ROUNDS, GOAL = 256, 7, {"PyTorch": 1}


def main() -> None:
    rows = []
    for task in ("forward", "gradient"):
        settings = {"task": task, "batch": BATCH, "repeats": 4 if task == "forward" else 2}
        racers = [
            Racer("puzzlebox", "conv_ours", settings | {"ordinary": False}),
            Racer("XLA's convolution", "conv_ours", settings | {"ordinary": True}),
        ]
        if python := peer_python():
            racers.append(Racer("PyTorch", "conv_torch", settings, python))
        rows += race(settings, racers, ROUNDS, GOAL)
    print(json.dumps({"batch": BATCH, "rounds": ROUNDS, "rows": rows}))


if __name__ == "__main__":
    main()
