"""The platformer as a world: a level, a body, rings, enemies, lives, and the six-term reward.

It is ours, for everyone who wants the video-game case without a ROM. An episode ends with the last life or at the goal
(terminated), or when time is up (truncated).
"""

from __future__ import annotations

from functools import lru_cache

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from puzzlebox.envs import six_terms
from puzzlebox.envs.platformer import features, physics, screen
from puzzlebox.envs.platformer.generator import generate
from puzzlebox.envs.platformer.levels import MAPS, NOWHERE, Level, read_level
from puzzlebox.envs.platformer.physics import Body
from puzzlebox.envs.platformer.picture import draw
from puzzlebox.envs.platformer.state import PlatformerState, enemies_at
from puzzlebox.envs.six_terms import Situation, Weights
from puzzlebox.errors import UsageError
from puzzlebox.fields import param, part
from puzzlebox.types import Array, Key, Timestep

ACTIONS = ("stand", "left", "right", "jump", "left and jump", "right and jump")
PUSH = np.array([0, -1, 1, 0, -1, 1], np.float32)
AREA = 4.0  # tiles that a part of the level is wide, for the new-area bonus
SAFE = 20  # decisions after a hit in which nothing hurts
REACH = 0.7  # tiles within which a ring or an enemy is touched
BOTTOM = -1.0  # the height below which a body is lost


class Platformer(eqx.Module):
    """Run and jump to the goal. Actions: stand, left, right, jump, left and jump, right and jump; ten per second.

    Observation ``view=tiles``: float32 [120], the columns around and what the body feels (`features.py`);
    ``view=screen``: uint8 [84, 84, 4], the last four grey pictures. Reward: `six_terms`. Measures: what each of its six
    terms paid, ``success``, ``furthest_x`` (tiles right of the start), ``distance`` (tiles run in any direction) and
    ``turns`` (how often it changed direction).
    """

    map: str = eqx.field(default="level-1", static=True)
    view: str = param("tiles", "what is seen", choices=("tiles", "screen"))
    lives: int = param(1, "lives; the next one begins at the start", low=1, high=99)
    time_limit: int = param(300, "decisions until time is up", low=1)
    seed: int = param(0, "which of the random levels", low=0)
    weights: Weights = part(Weights)
    random_step = False
    frames_per_second = 10
    frame_stack = 4  # pictures in a screen, for a replay that keeps each once

    def __check_init__(self):
        if self.seed and self.map != "random":
            raise UsageError(f"seed is {self.seed}, but {self.map} is drawn by hand; seeds are for platformer/random")

    @property
    def observation_space(self) -> gymnasium.Space:
        return features.SPACE if self.view == "tiles" else screen.SPACE

    @property
    def action_space(self) -> gymnasium.Space:
        return ACTION_SPACE

    def level(self) -> Level:
        """The tables of the level that is played."""
        return load(self.map, self.seed)

    def reset(self, key: Key) -> tuple[PlatformerState, Array]:
        level = self.level()
        start = jnp.asarray(level.start)
        zero = jnp.zeros(())
        state = PlatformerState(
            body=Body(start[0], start[1], zero, zero, zero, jnp.bool_(True)),
            taken=jnp.zeros(len(level.ring), bool),
            beaten=jnp.zeros(len(level.enemies), bool),
            rings=zero,
            lives=jnp.float32(self.lives),
            safe=jnp.int32(0),
            leftmost=start[0],
            furthest=start[0],
            heading=zero,
            time=jnp.int32(0),
            screen=jnp.zeros(0, jnp.uint8),
        )
        return self._see(level, state, fresh=True)

    def step(self, state: PlatformerState, action: Array, key: Key) -> tuple[PlatformerState, Timestep]:
        # Move, and meet what is on the way.
        level = self.level()
        before = self._situation(state, jnp.bool_(False))
        body, path = _move(level, state.body, action)
        moved = _meet(level, state, body, path)
        distance = jnp.abs(path.x[0] - state.body.x) + jnp.abs(jnp.diff(path.x)).sum()
        completed = (moved.body.x >= level.goal) & (moved.body.y > BOTTOM)
        x = moved.body.x
        moved = moved._replace(
            leftmost=jnp.minimum(state.leftmost, x), furthest=jnp.maximum(state.furthest, x), time=state.time + 1
        )
        # What it pays.
        after = self._situation(moved, completed)
        paid = {
            name: jnp.asarray(value, jnp.float32)
            for name, value in six_terms.terms(self.weights, AREA, before, after).items()
        }
        # The next life, the end, and what is measured beside the reward.
        lost = moved.lives < state.lives
        next_state = _begin_again(level, moved, lost)
        terminated = completed | (moved.lives <= 0)
        way = x - state.body.x
        heading = jnp.where(jnp.abs(way) > 0.05, jnp.sign(way), state.heading)
        measures = paid | {
            "success": completed.astype(jnp.float32),
            "furthest_x": moved.furthest - state.furthest,
            "distance": distance,
            "turns": (heading * state.heading < 0).astype(jnp.float32),
        }
        next_state, observation = self._see(level, next_state._replace(heading=heading))
        truncated = ~terminated & (moved.time >= self.time_limit)
        reward = jnp.asarray(sum(paid.values()), jnp.float32)
        return next_state, Timestep(observation, reward, terminated, truncated, measures)

    def render(self, state: PlatformerState) -> np.ndarray:
        """A picture of the part of the level around the body, uint8 [240, 360, 3]."""
        return draw(self.level(), jax.tree.map(np.asarray, state))

    def _situation(self, state: PlatformerState, completed: Array) -> Situation:
        """What the reward is computed from."""
        return Situation(state.body.x, state.leftmost, state.furthest, state.rings, state.lives, completed)

    def _see(self, level: Level, state: PlatformerState, fresh: bool = False) -> tuple[PlatformerState, Array]:
        """The state and what it shows; with ``view=screen`` the picture enters the stack, four times if ``fresh``."""
        if self.view == "tiles":
            return state, features.observe(level, state, self.lives, self.time_limit)
        picture = screen.draw(level, state)[..., None]
        before = jnp.repeat(picture, 3, axis=-1) if fresh else state.screen[..., 1:]
        state = state._replace(screen=jnp.concatenate([before, picture], axis=-1))
        return state, state.screen


ACTION_SPACE = gymnasium.spaces.Discrete(len(ACTIONS))


def level_1() -> Platformer:
    """It starts at the foot of a wall; then a pit, a bridge and a loop."""
    return Platformer("level-1")


def level_2() -> Platformer:
    """Its bridge ends before a wall; the room for the run-up is below the bridge."""
    return Platformer("level-2")


def level_3() -> Platformer:
    """Islands, walls, a loop on a height, and enemies in pairs."""
    return Platformer("level-3")


def random_level() -> Platformer:
    """A level made from the option ``seed``."""
    return Platformer("random")


@lru_cache
def load(name: str, seed: int) -> Level:
    """The tables of the level called ``name``; ``seed`` counts for ``random`` only."""
    rows = generate(seed) if name == "random" else MAPS[name]
    return read_level(rows, f"platformer/{name}")


def _move(level: Level, body: Body, action: Array) -> tuple[Body, Body]:
    """The body after one decision, and after each of its substeps, leaves [SUBSTEPS]."""
    ground = physics.columns(level)
    push, jump = jnp.asarray(PUSH)[action], action >= 3

    def advance(body: Body, _: None) -> tuple[Body, Body]:
        body = physics.substep(ground, body, push, jump)
        return body, body

    return jax.lax.scan(advance, body, None, length=physics.SUBSTEPS)


def _meet(level: Level, state: PlatformerState, body: Body, path: Body) -> PlatformerState:
    """The state after meeting rings, enemies and pits along ``path``, whose leaves are [SUBSTEPS]."""
    # Rings within reach of any point of the path.
    xs, ys = physics.middle(path)
    columns, ring = jnp.arange(len(level.ring)) + 0.5, jnp.asarray(level.ring)
    near = (columns > xs.min() - REACH) & (columns < xs.max() + REACH)
    near &= (ring > ys.min() - REACH - 0.2) & (ring < ys.max() + REACH + 0.2)
    takes = near & ~state.taken
    rings = state.rings + takes.sum()
    # Enemies: one that is hit from above, falling, is beaten; any other touch hurts.
    enemy_x, enemy_y, _ = enemies_at(level, state.time + 1)
    stomped = hit = jnp.zeros(len(level.enemies), bool)
    from_above = ~path.grounded & (path.rising < 0)
    for i in range(1, physics.SUBSTEPS, 2):
        touched = (jnp.abs(xs[i] - enemy_x) < REACH) & (jnp.abs(ys[i] - 0.5 - enemy_y) < REACH)
        touched &= ~state.beaten & ~stomped & (enemy_y > NOWHERE)
        above = from_above[i] & (path.y[i] > enemy_y + 0.05)
        stomped |= touched & above
        hit |= touched & ~above
    # A hurt body loses all rings, or without rings a life, and is thrown back; a fall costs a life.
    hurt = (hit & ~stomped).any() & (state.safe == 0)
    spared = hurt & (rings > 0)
    lost = (body.y < BOTTOM) | (hurt & ~spared)
    away = -jnp.sign(jnp.where(body.speed == 0, 1.0, body.speed))
    rising = jnp.where(stomped.any(), physics.BOUNCE, jnp.where(spared, 7.0, body.rising))
    body = body._replace(
        speed=jnp.where(spared, 4.0 * away, body.speed),
        rising=rising,
        grounded=body.grounded & ~spared & ~stomped.any(),
    )
    return state._replace(
        body=body,
        taken=state.taken | takes,
        beaten=state.beaten | stomped,
        rings=jnp.where(hurt, 0.0, rings),
        lives=state.lives - lost,
        safe=jnp.where(hurt, SAFE, jnp.maximum(state.safe - 1, 0)),
    )


def _begin_again(level: Level, state: PlatformerState, lost: Array) -> PlatformerState:
    """Where a life was ``lost``, the body is back at the start, without rings; else the state as it is."""
    start = jnp.asarray(level.start)
    zero = jnp.zeros(())
    fresh = Body(start[0], start[1], zero, zero, zero, jnp.bool_(True))
    body = Body(*(jnp.where(lost, new, old) for new, old in zip(fresh, state.body, strict=True)))
    return state._replace(body=body, rings=jnp.where(lost, 0.0, state.rings))
