"""Racer of ``conv``: the same network in PyTorch, which chooses its number of threads itself."""

from __future__ import annotations

import torch
from benchmarks.race import Row, serve
from torch import nn


def torso(hidden: int = 512) -> nn.Sequential:
    """The network of Mnih et al. 2015 without its heads."""
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, 4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3136, hidden),
        nn.ReLU(),
    )


def prepare(settings: Row):
    net = torso()
    pixels = torch.randint(0, 256, (settings["batch"], 4, 84, 84), dtype=torch.uint8)

    def once() -> None:
        if settings["task"] == "forward":
            with torch.no_grad():
                net(pixels / 255.0)
        else:
            net.zero_grad()
            net(pixels / 255.0).square().mean().backward()

    def work() -> int:
        for _ in range(settings["repeats"]):
            once()
        return settings["repeats"] * settings["batch"]

    work()
    return work, {"version": torch.__version__, "threads": torch.get_num_threads()}


if __name__ == "__main__":
    serve(prepare)
