"""Puzzlebox: reinforcement learning from a 5×5 maze to a language model.

The Python calls have the names and words of the commands: ``puzzlebox.train("ppo", "CartPole-v1", seeds=10)``.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

CALLS = {
    "make": "puzzlebox.envs",
    "solve": "puzzlebox.studies.solve",
    "train": "puzzlebox.training.train",
    "resume": "puzzlebox.training.train",
    "evaluate": "puzzlebox.evaluation.evaluate",
    "compare": "puzzlebox.evaluation.compare",
    "watch": "puzzlebox.pictures.watch",
    "tour": "puzzlebox.studies.tour.tour",
}


def __getattr__(name: str) -> Any:
    """Imports a call when it is first used: ``import puzzlebox`` alone is instant."""
    if name in CALLS:
        return getattr(importlib.import_module(CALLS[name]), name)
    raise AttributeError(f"module 'puzzlebox' has no attribute '{name}'")
