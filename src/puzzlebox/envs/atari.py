"""Atari 2600 games: ``atari:pong``, ``atari:breakout,sticky=0,clip=false``, by the Arcade Learning Environment.

Source: Bellemare et al. 2013; Machado et al. 2018 for sticky actions, the action set and what an episode is. The screen
is that of Mnih et al. 2015: the maximum of the last two of four frames, grey, 84×84, the last four of them. Smaller
pictures (``size``) are for machines without a GPU; 42×42 is that of the first programs that learned Pong on a CPU.

ale-py's vector environment plays, skips, resizes and stacks in C++ threads. It restarts a game in the very step that
ends it, and gives the true last screen beside the first one of the next game, so that no step is lost or counted twice.

Departures: in the first stack of an episode the three older frames are blank, in ale-py as here. With ``life_loss`` an
episode ends with a life and the game goes on, as in Mnih et al. 2015; ale-py's own option would start a new game.
"""

from __future__ import annotations

import atexit
import dataclasses
import threading
from functools import lru_cache
from importlib import metadata
from typing import Any

import gymnasium
import numpy as np

from puzzlebox.envs.host import HostVector
from puzzlebox.errors import PuzzleboxError, missing_extra, unknown
from puzzlebox.fields import check_fields, param
from puzzlebox.scale.backend import cores

STACK = 4
HEIGHT, WIDTH = 210, 160  # of the console's own screen
FRAMES_PER_SECOND = 60


def make_atari(game: str) -> Atari:
    """The world behind ``atari:GAME``; raises UsageError for an unknown game and without ale-py."""
    if game not in all_games():
        raise unknown("Atari game", game, all_games())
    return Atari(game)


@lru_cache
def all_games() -> tuple[str, ...]:
    """The names of all games that ale-py brings."""
    try:
        from ale_py import roms
    except ImportError:
        raise missing_extra("ale-py", "atari") from None
    return tuple(sorted(roms.get_all_rom_ids()))


@dataclasses.dataclass(frozen=True)
class Atari:
    """One game and the rules it is played by; hashable, so that it can be a constant of a compiled program.

    Observations are uint8 [size, size, 4], the newest frame last. ``measures``: ``score``, the game's own points,
    whatever ``clip`` makes of them.
    """

    game: str
    sticky: float = param(0.25, "probability that a frame repeats the previous action", low=0.0, high=1.0)
    clip: bool = param(True, "training sees only the sign of a reward; evaluation never clips")
    frame_skip: int = param(4, "frames per step", low=1)
    full_actions: bool = param(False, "all 18 actions, not only those that do something in this game")
    life_loss: bool = param(False, "a lost life ends an episode of training; evaluation always plays whole games")
    noop_max: int = param(30, "an episode starts with a random number of idle frames, fewer than this", low=0)
    fire_reset: bool = param(False, "FIRE is pressed at the start where the game has it")
    size: int = param(84, "height and width of a picture, in pixels", low=36, high=160)
    max_frames: int = param(108_000, "a game is cut after this many frames (30 minutes)", low=1)
    measures = ("score",)
    frame_stack = STACK  # frames in an observation, for a replay that keeps each once

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(0, 255, (self.size, self.size, STACK), np.uint8)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(_num_actions(self.game, self.full_actions))

    @property
    def protocol(self) -> dict[str, Any]:
        """The rules, in words, for the run directory and every score."""
        return {
            "simulator": f"ale-py {_version()}",
            "sticky_actions": self.sticky,
            "frames_per_step": self.frame_skip,
            "full_action_set": self.full_actions,
            "reward_clipping": self.clip,
            "life_loss_ends_episode": self.life_loss,
            "noop_max": self.noop_max,
            "fire_reset": self.fire_reset,
            "max_frames_per_episode": self.max_frames,
            "picture": f"{self.size} × {self.size}",
        }

    def evaluation(self) -> Atari:
        """The rules for scores: rewards as they are, whole games."""
        return dataclasses.replace(self, clip=False, life_loss=False)

    def vectorize(self, num_envs: int) -> HostVector:
        """``num_envs`` games for each agent."""
        return HostVector(self, num_envs)

    def simulators(self) -> Games:
        """Where the games of this kind are played."""
        with _LOCK:
            return _GAMES.setdefault(self, Games(self))

    def single(self, render_mode: str | None = None) -> Single:
        """One game by the rules for scores, to watch."""
        return Single(self.evaluation(), render_mode)

    def close(self) -> None:
        """Ends all games of this kind; their states cannot be stepped again."""
        with _LOCK:
            _GAMES.pop(self, None)

    def machine(self, num_envs: int, threads: int = 0, **more: Any) -> Any:
        """ale-py's own vector environment under these rules."""
        from ale_py.vector_env import AtariVectorEnv

        settings: dict[str, Any] = {
            "autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP,
            "repeat_action_probability": self.sticky,
            "full_action_space": self.full_actions,
            "frameskip": self.frame_skip,
            "noop_max": self.noop_max,
            "use_fire_reset": self.fire_reset,
            "max_num_frames_per_episode": self.max_frames,
            "stack_num": STACK,
            "img_height": self.size,
            "img_width": self.size,
            "reward_clipping": False,
            "num_threads": threads,
        }
        return AtariVectorEnv(self.game, num_envs, **settings | more)


class Slice:
    """The ``B`` games of one agent, seeded with ``seeds`` uint32 [B]; ``first`` has their first screens."""

    def __init__(self, kind: Atari, seeds: np.ndarray, threads: int) -> None:
        self.kind = kind
        self.machine = kind.machine(len(seeds), threads)
        screens, info = self.machine.reset(seed=(seeds & 0x7FFFFFFF).astype(np.int32))
        self.first = channels_last(screens)
        self.lives = info["lives"]
        self.age = np.zeros(len(seeds), int)  # steps since the episode began

    def send(self, actions: np.ndarray) -> None:
        """Lets all games play a step with ``actions`` int32 [B]; `receive` waits for them."""
        self.machine.send(actions)

    def receive(self) -> tuple[np.ndarray, ...]:
        """s_{t+1} [B, size, size, 4], reward, terminated, truncated, the screens to act on next, measures [B, 1]."""
        screens, points, terminated, truncated, info = self.machine.recv()
        seen = channels_last(screens)
        following = seen
        self.age += 1
        over = terminated | truncated
        if over.any():  # ale-py shows the next game already; the true last screens are in `info`
            following = seen.copy()
            seen[over] = channels_last(info["final_obs"][over])
        if self.kind.life_loss:  # the game goes on, but its older frames belong to another episode now
            following = following.copy()
            lost = ~over & (info["lives"] < self.lives)
            blank_before(seen, self.age)
            self.age[over | lost] = 0
            blank_before(following, self.age)
            terminated = terminated | lost
            truncated = truncated & ~lost
        else:
            self.age[over] = 0
        self.lives = info["lives"]
        score = points.astype(np.float32)
        return seen, np.sign(score) if self.kind.clip else score, terminated, truncated, following, score[:, None]


class Games:
    """All games of one kind, in slices."""

    def __init__(self, kind: Atari) -> None:
        self.kind = kind
        self.slices: dict[int, Slice] = {}
        self.lock = threading.Lock()

    def call(self, method: str, handles: list[int], rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """`Simulators.call`."""
        with self.lock:
            if method == "reset":
                threads = max(1, cores() // len(handles))
                made = [Slice(self.kind, seeds, min(threads, len(seeds))) for seeds in rows]
                self.slices |= dict(zip(handles, made, strict=True))
                return (np.stack([piece.first for piece in made]),)
            pieces = [self.slices.get(handle) for handle in handles]
            if None in pieces:
                raise PuzzleboxError(
                    f"the atari:{self.kind.game} worlds of this state are gone (closed, or of another process); "
                    "reset them"
                )
            for piece, actions in zip(pieces, rows, strict=True):  # all play at the same time
                piece.send(actions)  # type: ignore[union-attr]
            results = [piece.receive() for piece in pieces]  # type: ignore[union-attr]
            if len(results) == 1:  # without copying
                return tuple(column[None] for column in results[0])
            return tuple(np.stack(column) for column in zip(*results, strict=True))

    def forget(self, handles: list[int]) -> None:
        """`Simulators.forget`."""
        with self.lock:
            for handle in handles:
                self.slices.pop(handle, None)


class Single(gymnasium.Env):
    """One game in plain Python; its pictures come from a second machine that plays the same game in colour."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(self, kind: Atari, render_mode: str | None = None) -> None:
        self.kind, self.render_mode = kind, render_mode
        self.observation_space, self.action_space = kind.observation_space, kind.action_space
        self.metadata = self.metadata | {"render_fps": FRAMES_PER_SECOND // kind.frame_skip}
        self.machine = kind.machine(1, 1)
        colour = {"grayscale": False, "stack_num": 1, "img_height": HEIGHT, "img_width": WIDTH}
        self.camera = kind.machine(1, 1, **colour) if render_mode else None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        own = int(self.np_random.integers(2**31))
        self.picture = self.camera.reset(seed=own)[0] if self.camera is not None else None
        return channels_last(self.machine.reset(seed=own)[0])[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        screens, points, terminated, truncated, info = self.machine.step(np.array([action], np.int32))
        over = bool(terminated[0] or truncated[0])
        screens = info["final_obs"] if over else screens
        if self.camera is not None:
            pictures, *_, last = self.camera.step(np.array([action], np.int32))
            self.picture = last["final_obs"] if over else pictures
        return channels_last(screens)[0], float(points[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> np.ndarray | None:
        """The console's own screen, uint8 [210, 160, 3]."""
        return None if self.picture is None else self.picture[0, 0]


def channels_last(screens: np.ndarray) -> np.ndarray:
    """[B, 4, H, W] as [B, H, W, 4]; copying frame by frame is six times as fast as NumPy's transpose."""
    count, stack, height, width = screens.shape
    out = np.empty((count, height, width, stack), np.uint8)
    for i in range(stack):
        out[..., i] = screens[:, i]
    return out


def blank_before(screens: np.ndarray, age: np.ndarray) -> None:
    """Blanks in ``screens`` [B, H, W, 4] the frames from before the episode, which began ``age`` [B] steps ago."""
    for i in range(STACK - 1):
        screens[age < STACK - 1 - i, ..., i] = 0


@lru_cache
def _num_actions(game: str, full: bool) -> int:
    return int(Atari(game, full_actions=full).machine(1, 1).single_action_space.n)


@lru_cache
def _version() -> str:
    return metadata.version("ale-py")


_GAMES: dict[Atari, Games] = {}
_LOCK = threading.Lock()
atexit.register(_GAMES.clear)  # before the interpreter goes, or ale-py complains
