"""Several agents of a language algorithm: one after the other on one device, side by side on several.

Their steps call Python (verifiers, tokenizers), so they cannot be a `vmap` axis as in `agents`. What is compiled is
compiled once for all of them. Everything else about a run is the same, because both kinds are a `Trainee`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import numpy as np

from puzzlebox.data.text_worlds import skipped_report
from puzzlebox.runs import preflight
from puzzlebox.types import Advance, LanguageAlgorithm, State, Tell


class LanguageAgents:
    """``algorithm`` with one state per seed; the whole run's state is the tuple of them."""

    slow = True

    def __init__(self, algorithm: LanguageAlgorithm, seeds: list[int]):
        self.algorithm = algorithm
        self.seeds = seeds
        self.swept: dict[str, Any] = {}
        self.num_agents = len(seeds)
        devices = jax.devices()[: self.num_agents]
        self.members = [self._on(devices[i % len(devices)]) for i in range(self.num_agents)]

    def _on(self, device: jax.Device) -> tuple[LanguageAlgorithm, jax.Device]:
        """The algorithm with its model on ``device``."""
        algorithm: Any = self.algorithm
        arrays, rest = eqx.partition(algorithm.start, eqx.is_array)
        start = eqx.combine(jax.device_put(arrays, device), rest)
        return dataclasses.replace(algorithm, start=start), device

    @property
    def asks_a_person(self) -> bool:
        """Whether somebody at the terminal judges, who can answer one agent at a time and needs the screen."""
        return self.algorithm.asks_a_person

    def check(self) -> None:
        """Raises UsageError for too much memory, for rows that cannot be learned from, and for nobody to ask."""
        self._memory()
        self.algorithm.check_rows()

    def notes(self) -> list[str]:
        """Rows of the file that are left out; how many parameters train, and what that takes."""
        return [*skipped_report(self.algorithm.env).get("notes", []), self._memory()]

    def _memory(self) -> str:
        """The line of `preflight.check`, which raises UsageError where training cannot fit."""
        return preflight.check(self.algorithm, self.shapes()[0], self.num_agents)

    def start(self) -> State:
        """The states before training, one per agent."""
        return tuple(self._each(lambda i, algorithm: algorithm.init(jax.random.key(self.seeds[i]))))

    def shapes(self) -> State:
        """Shapes and types of the states, without computing them."""
        one = eqx.filter_eval_shape(self.algorithm.init, jax.random.key(0))
        return (one,) * self.num_agents

    def resumed(self, state: State, steps: int) -> tuple[State, str]:
        """The state as it is: language tasks have no simulator, so nothing is lost."""
        return state, ""

    def compile(self, state: State, tell: Tell | None = None) -> Advance:
        """Parts compile when they are first used; ``tell`` hears at the first update what it takes."""
        if tell is not None:
            algorithm, device = self.members[0]
            algorithm.listener.tell = functools.partial(preflight.check_update, device=device, tell=tell)
        return self.advance

    def advance(self, swept: dict, state: State, iterations: int) -> tuple[State, dict[str, np.ndarray]]:
        """``iterations`` iterations of every agent; metrics ``[A]`` are means over them."""

        def run(i: int, algorithm: Any) -> tuple[State, dict[str, Any]]:
            """The new state of agent i, and the means of its metrics."""
            # Counters and keys start uncommitted to a device and come back committed: without this the second step
            # would compile again.
            member, rows = jax.device_put(state[i], self.members[i][1]), []
            for _ in range(int(iterations)):
                member, metrics = algorithm.step(member)
                rows.append(jax.device_get(metrics))
            return member, {name: np.asarray([row[name] for row in rows], np.float32).mean() for name in rows[0]}

        states, metrics = zip(*self._each(run), strict=True)
        return tuple(states), {name: np.array([row[name] for row in metrics]) for name in metrics[0]}

    def policy(self, state: State, agent: int, greedy: bool = True) -> Any:
        """The language model of one agent."""
        return self.members[agent][0].policy(state[agent], greedy)

    def _each(self, work: Callable[[int, Any], Any]) -> list[Any]:
        """``work(i, algorithm)`` of every agent i on its device, in order; devices work at the same time."""

        def on_device(i: int) -> Any:
            algorithm, device = self.members[i]
            with jax.default_device(device):
                return work(i, algorithm)

        at_once = 1 if self.asks_a_person else min(self.num_agents, len(jax.devices()))
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(on_device, range(self.num_agents)))
