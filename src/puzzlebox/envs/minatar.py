"""MinAtar: five Atari games on 10 × 10 squares, ``minatar:breakout``, as pure functions by pgx-minatar.

Source: Young & Tian 2019, "MinAtar"; in JAX by Koyamada et al. 2023, Pgx. An observation has one plane for each kind of
object. As in the paper, a step repeats the previous action with probability 0.1.

Departure: the paper's episodes may last for ever; here an episode is truncated after ``max_steps``.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import equinox as eqx
import gymnasium
import jax.numpy as jnp
import numpy as np

from puzzlebox.errors import missing_extra, unknown
from puzzlebox.fields import param
from puzzlebox.types import Array, Key, Timestep

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
COLOURS = np.array(  # of the planes, from the first to the last
    [
        (86, 180, 233),
        (230, 159, 0),
        (0, 158, 115),
        (204, 121, 167),
        (240, 228, 66),
        (213, 94, 0),
        (255, 255, 255),
        (0, 114, 178),
        (148, 203, 236),
        (153, 153, 153),
    ],
    np.uint8,
)
SQUARE = 32  # pixels a side in a picture


def make_minatar(game: str) -> MinAtar:
    """The world behind ``minatar:GAME``; raises UsageError for an unknown game and without pgx-minatar."""
    if game not in GAMES:
        raise unknown("MinAtar game", game, GAMES)
    try:
        import pgx_minatar  # noqa: F401
    except ImportError:
        raise missing_extra("pgx-minatar", "minatar") from None
    return MinAtar(game)


class MinAtar(eqx.Module):
    """One game. Observations are uint8 [10, 10, planes], 0 or 1; rewards are the game's own points.

    The actions are those that do something in this game.
    """

    game: str = eqx.field(static=True)
    sticky: float = param(0.1, "probability that a step repeats the previous action", low=0.0, high=1.0)
    max_steps: int = param(10_000, "an episode is cut after this many steps", low=1)
    frames_per_second = 15

    def __check_init__(self):
        _rules(self.game, self.sticky)  # makes arrays, which must not happen while tracing

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        rules = _rules(self.game, self.sticky)
        return gymnasium.spaces.Box(0, 1, rules.observation_shape, np.uint8)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(int(_rules(self.game, self.sticky).num_actions))

    def reset(self, key: Key) -> tuple[Any, Array]:
        state = _rules(self.game, self.sticky).init(key)
        return state, state.observation.astype(jnp.uint8)

    def step(self, state: Any, action: Array, key: Key) -> tuple[Any, Timestep]:
        state = _rules(self.game, self.sticky).step(state, action, key)
        cut = (state._step_count >= self.max_steps) & ~state.terminated
        return state, Timestep(state.observation.astype(jnp.uint8), state.rewards[0], state.terminated, cut)

    def render(self, state: Any) -> np.ndarray:
        """A square of one colour for each object, uint8 [320, 320, 3]; where several meet, the last plane is seen."""
        planes = np.asarray(state.observation)
        last = planes.shape[-1] - 1 - np.argmax(planes[..., ::-1], axis=-1)
        picture = np.where(planes.any(axis=-1, keepdims=True), COLOURS[last], np.uint8(20))
        return picture.repeat(SQUARE, axis=0).repeat(SQUARE, axis=1)


@cache
def _rules(game: str, sticky: float) -> Any:
    module = importlib.import_module(f"pgx_minatar.{game}")
    return getattr(module, f"MinAtar{game.title().replace('_', '')}")(sticky_action_prob=sticky)
