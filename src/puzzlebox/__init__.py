"""Puzzlebox: reinforcement learning from a 5×5 maze to a language model.

The Python calls have the names and words of the commands: ``puzzlebox.train("ppo", "CartPole-v1", seeds=10)``. Beside
them stand ``puzzlebox.make("CartPole-v1")``, which gives a world, and ``puzzlebox.load("runs/ppo")``, which gives a
run with its policy.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Imports a call when it is first used: ``import puzzlebox`` alone is instant."""
    from puzzlebox.commands.command import load

    calls = _calls()
    if name not in calls:
        raise AttributeError(f"module 'puzzlebox' has no attribute '{name}'")
    return load(calls[name])


def __dir__() -> list[str]:
    return sorted({*globals(), *_calls()})


def _calls() -> dict[str, str]:
    """Name -> "module:function" of every call."""
    from puzzlebox.commands import PYTHON_CALLS

    return PYTHON_CALLS | {"make": "puzzlebox.envs:make", "load": "puzzlebox.runs.load:load"}
