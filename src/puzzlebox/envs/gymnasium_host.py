"""Any Gymnasium environment inside a compiled step: ``gym:LunarLander-v3``, ``gym:Blackjack-v1,natural=true``.

A task that publishes its transitions becomes a pure world (`envs.gymnasium_table`). Every other one stays in Python
and is called from the compiled program (`envs.host`).
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np

from puzzlebox.envs.gymnasium_names import create, find, read_options
from puzzlebox.envs.gymnasium_observations import Unfit, convert_observations, first_of
from puzzlebox.envs.gymnasium_pool import Pool, close_pool, open_pool
from puzzlebox.envs.gymnasium_table import publishes_table, table_from_gymnasium, why_no_table
from puzzlebox.envs.gymnasium_worker import convert_actions
from puzzlebox.envs.host import HostVector
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.types import World


def make_gymnasium(name: str, options: dict[str, str]) -> World:
    """The world behind ``gym:NAME,option=value``; options are Gymnasium's own, read as JSON where they are JSON.

    Two are ours: ``host=true`` keeps a task in Python even if it publishes its transitions, and ``workers=N`` steps
    the environments in N processes. Raises UsageError for unknown names, options and unsupported spaces, and for a
    missing package.
    """
    spec, settings = find(name), read_options(options)
    host, workers = settings.pop("host", False), settings.pop("workers", 0)
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 0:
        raise UsageError(f"workers is {workers}; it must be a whole number, 0 for none")
    if not isinstance(host, bool):
        raise UsageError(f"host is {host}; it must be true or false")
    world = create(spec, settings)
    try:
        reason = "host=true keeps it in Python" if host else why_no_table(world)
        if not reason:
            return table_from_gymnasium(world)
        note = f"gym:{spec.id} stays in Python: {reason}" if publishes_table(world) and not host else ""
        env = HostEnvironment(spec.id, tuple(sorted(settings.items())), workers, reason, note)
        _spaces(env)
        return env
    finally:
        world.close()


@dataclasses.dataclass(frozen=True)
class HostEnvironment:
    """A Gymnasium environment that stays in Python; hashable, so that it can be a constant of a compiled program.

    ``name`` is the registered one, with its version; ``workers`` is the number of processes, 0 for none. The spaces are
    the converted ones, see `gymnasium_worker`. ``no_table`` says why it is not stepped from a table, ``note`` the same
    for whoever may have expected that, and is empty otherwise.
    """

    name: str
    options: tuple[tuple[str, Any], ...] = ()
    workers: int = 0
    no_table: str = dataclasses.field(default="", compare=False)
    note: str = dataclasses.field(default="", compare=False)
    measures = ()

    @property
    def observation_space(self) -> gymnasium.Space:
        return _spaces(self)[0]

    @property
    def action_space(self) -> gymnasium.Space:
        return _spaces(self)[1]

    def vectorize(self, num_envs: int) -> HostVector:
        """``num_envs`` environments for each agent."""
        return HostVector(self, num_envs)

    def simulators(self) -> Pool:
        """Where the environments live."""
        return open_pool(self, gymnasium.registry[self.name], dict(self.options), self.workers)

    def single(self, render_mode: str | None = None) -> gymnasium.Env:
        """One environment in plain Python, to watch: observations and actions are those our policies know."""
        mode = {} if render_mode is None else {"render_mode": render_mode}  # not every constructor knows it
        return Single(create(gymnasium.registry[self.name], dict(self.options), **mode), self)

    def close(self) -> None:
        """Closes all environments and worker processes made from this one; their states cannot be stepped again."""
        close_pool(self)


class Single(gymnasium.Wrapper):
    """One environment with converted spaces, so that our policies can act in it."""

    def __init__(self, env: gymnasium.Env, host: HostEnvironment) -> None:
        super().__init__(env)
        self.name = f"gym:{host.name}"
        self.observation_space, self._encode = convert_observations(host.name, env.observation_space)
        self.action_space, self._decode = convert_actions(host.name, env.action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        result = self.env.reset(seed=seed, options=options)
        return self._observe(result, is_first=True), result[1]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        ready = self._decode(np.asarray(action)[None])[0]
        observation, reward, terminated, truncated, info = self.env.step(ready)
        return self._observe(observation), float(reward), bool(terminated), bool(truncated and not terminated), info

    def _observe(self, given: Any, is_first: bool = False) -> np.ndarray:
        """The converted observation that `step` gave, or that is in what `reset` gave (``is_first``)."""
        try:
            observation = self._encode(first_of(given) if is_first else given)
        except Unfit as fault:
            raise PuzzleboxError(f"{self.name} gave in {'reset' if is_first else 'step'} {fault}") from None
        return np.asarray(observation, self.observation_space.dtype)


@lru_cache
def _spaces(env: HostEnvironment) -> tuple[gymnasium.Space, gymnasium.Space]:
    world = create(gymnasium.registry[env.name], dict(env.options))
    try:
        name = f"gym:{env.name}"
        return (
            convert_observations(name, world.observation_space)[0],
            convert_actions(name, world.action_space)[0],
        )
    finally:
        world.close()
