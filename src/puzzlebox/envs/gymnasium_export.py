"""Our worlds as Gymnasium environments, for any library that trains on those.

Importing this module registers each: ``gymnasium.make("puzzlebox/CartPole-v1")``, or with the import in the name,
``gymnasium.make("puzzlebox.envs.gymnasium_export:puzzlebox/CartPole-v1")``. A ``/`` in our name becomes ``-``:
``puzzlebox/grid-robot``. The world keeps its own time limit; Gymnasium adds none.
"""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import jax
import numpy as np

from puzzlebox.envs import ENVIRONMENTS, make
from puzzlebox.errors import UsageError
from puzzlebox.types import Environment, Game, Renderable, Simulated


class GymnasiumEnvironment(gymnasium.Env):
    """One of our worlds, given as an object or as a name with options, one compiled step per call.

    ``reset(seed=s)`` determines that episode and all that follow. Raises UsageError for unknown names, for a world
    that is Gymnasium's own already, and from ``render`` for a world that draws no pictures.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, env: Environment | Game | str, render_mode: str | None = None) -> None:
        world = make(env) if isinstance(env, str) else env
        if isinstance(world, Simulated):
            raise UsageError(f"{env} is an environment of Gymnasium already; use gymnasium.make")
        self.world = world
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"render_mode is '{render_mode}'; choose rgb_array or none")
        if not isinstance(self.world, Renderable):
            self.metadata = {"render_modes": [], "render_fps": 30}
        self.render_mode = render_mode
        # Copies: a space draws random samples of its own, and worlds share theirs.
        self.observation_space = copy.deepcopy(self.world.observation_space)
        self.action_space = copy.deepcopy(self.world.action_space)
        self._reset = jax.jit(lambda key: self._with_key(key, self.world.reset))
        self._step = jax.jit(lambda state, action, key: self._with_key(key, self.world.step, state, action))
        self._key: Any = None
        self._state: Any = None

    @staticmethod
    def _with_key(key: Any, call: Any, *inputs: Any) -> Any:
        """The key for the next call, and ``call(*inputs, key)`` with a key of its own."""
        key, call_key = jax.random.split(key)
        return key, call(*inputs, call_key)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or self._key is None:
            key = jax.random.key(int(self.np_random.integers(2**32)) if seed is None else seed % 2**32)
            self._key = jax.device_put(key, jax.devices("cpu")[0])  # one step at a time is no work for a GPU
        self._key, (self._state, observation) = self._reset(self._key)
        return self._see(observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        ready = np.asarray(action, np.float32 if isinstance(self.action_space, gymnasium.spaces.Box) else np.int32)
        self._key, (self._state, timestep) = self._step(self._state, ready, self._key)
        observation, reward, terminated, truncated = map(np.asarray, timestep[:4])
        info = {name: float(value) for name, value in timestep.measures.items()}
        return self._see(observation), float(reward), bool(terminated), bool(truncated), info

    def render(self) -> np.ndarray | None:
        """The picture of the present state, uint8 [height, width, 3]."""
        if self.render_mode is None or self._state is None:
            return None
        if not isinstance(self.world, Renderable):
            raise UsageError(f"{type(self.world).__name__} draws no pictures")
        return self.world.render(self._state)

    def _see(self, observation: Any) -> Any:
        value = np.asarray(observation, self.observation_space.dtype)
        return value[()] if isinstance(self.observation_space, gymnasium.spaces.Discrete) else value


def register() -> None:
    """Makes every world of ours known to Gymnasium as ``puzzlebox/NAME``."""
    for name in ENVIRONMENTS:
        identifier = f"puzzlebox/{name.replace('/', '-')}"
        if identifier not in gymnasium.registry:
            gymnasium.register(identifier, entry_point=f"{__name__}:GymnasiumEnvironment", kwargs={"env": name})


register()
