"""``run = puzzlebox.load("runs/ppo")``: a run from Python, its policy as a function of NumPy arrays."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.acting.completions import complete
from puzzlebox.acting.generate import Sampling
from puzzlebox.errors import UsageError
from puzzlebox.runs import checkpoint
from puzzlebox.runs.build import build_run
from puzzlebox.runs.directory import Run
from puzzlebox.runs.inputs import TRUST
from puzzlebox.scale import backend


def load(run: str | Path, *, trust_code: bool = False) -> LoadedRun:
    """A run for use in Python. What it learned is read when it is first asked for.

    ``trust_code`` allows a run to run the code it brings along; where this user trained with that code it is allowed
    anyway (`inputs`). Raises UsageError where there is no run.
    """
    TRUST.everything |= trust_code
    return LoadedRun(Run.open(run))


class LoadedRun:
    """``config``: what was asked; ``metrics``: what was logged; ``figures``: the summary of a finished run."""

    def __init__(self, run: Run):
        self.run = run
        self.config = run.config

    @property
    def figures(self) -> dict[str, Any]:
        """The figures of ``summary.json``; raises UsageError while the run is unfinished."""
        return self.run.summary()

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """What was logged, as columns: ``steps`` and ``seconds`` float64 [P], each metric float64 [P, A].

        NaN where nothing was measured. ``pandas.DataFrame(run.metrics["episode_return"], run.metrics["steps"])``
        is a table with a column per agent.
        """
        rows = self.run.metrics()
        names = dict.fromkeys(name for row in rows for name in row)
        agents = len(self.config["agents"])
        unknown: dict[str, Any] = {n: None if n in ("steps", "seconds") else [None] * agents for n in names}
        return {n: np.array([row.get(n, unknown[n]) for row in rows], np.float64) for n in names}

    @cached_property
    def _learned(self) -> tuple[Any, Any]:
        """The agents and their newest state."""
        backend.prepare(language=self.run.family == "language")
        agents = build_run(self.run)
        state, _, _ = checkpoint.load_newest(self.run.checkpoints, agents.shapes())
        return agents, state

    @cached_property
    def _act(self) -> Any:
        """The compiled policy of one agent: its values, its state, observations ``[B, ...]``, a key -> actions."""
        agents, _ = self._learned

        def act(swept: Any, state: Any, observation: Any, key: Any, greedy: bool) -> Any:
            return jax.vmap(agents.policy(swept, state, greedy))(observation, jax.random.split(key, len(observation)))

        return jax.jit(act, static_argnums=4)

    def policy(self, observation: Any, *, agent: int = 0, greedy: bool = True, seed: int = 0) -> np.ndarray:
        """The action for one observation, or the actions ``[B, ...]`` for a batch of them; NumPy in, NumPy out.

        Greedy, or drawn from the policy with the random numbers of ``seed``. Raises UsageError for an observation of
        another shape than the world's, an agent that the run does not have, and a run that learned no policy of a
        world (games are played with ``puzzlebox.play_game``, language models write with `generate`).
        """
        if self.run.family != "worlds":
            raise UsageError(f"{self.run.path} has no policy of a world; it was trained on {self.config['env']}")
        self._check_agent(agent)
        agents, state = self._learned
        space = agents.algorithm.env.observation_space
        given = np.asarray(observation, space.dtype)
        if given.shape[given.ndim - len(space.shape) :] != space.shape or given.ndim > len(space.shape) + 1:
            raise UsageError(f"the observation has shape {given.shape}; one is {space.shape} here, a batch [B, …]")
        batch = given if given.ndim > len(space.shape) else given[None]
        one = jax.tree.map(lambda leaf: leaf[agent], (agents.swept, state))
        actions = np.asarray(self._act(*one, jnp.asarray(batch), jax.random.key(seed), greedy))
        return actions if given.ndim > len(space.shape) else actions[0]

    def generate(
        self, prompt: str, *, agent: int = 0, max_tokens: int = 128, temperature: float = 1.0, seed: int = 0
    ) -> str:
        """What the trained language model writes after ``prompt``. Raises UsageError for a run of anything else."""
        if self.run.family != "language":
            raise UsageError(f"{self.run.path} trains no language model, so it writes nothing")
        self._check_agent(agent)
        agents, state = self._learned
        model, sampling = agents.policy(state, agent), Sampling(temperature)
        return complete(model, [prompt], jax.random.key(seed), max_tokens=max_tokens, sampling=sampling).texts[0]

    def _check_agent(self, agent: int) -> None:
        """Raises UsageError for an agent that the run does not have."""
        count = len(self.config["agents"])
        if not 0 <= agent < count:
            raise UsageError(f"agent is {agent}; {self.run.path} has agents 0 to {count - 1}")

    def __repr__(self) -> str:
        agents, steps = len(self.config["agents"]), self.config["steps"]
        return (
            f"<run {self.run.path}: {self.config['algorithm']} on {self.config['env']}, {agents} agents, {steps} steps>"
        )
