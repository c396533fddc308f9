"""Console games by real emulators: ``retro:Airstriker-Genesis-v0``, ``retro:SonicTheHedgehog2-Genesis-v0,rings=1``.

Source: stable-retro (Nichol et al. 2018, "Gotta Learn Fast"). Every emulator is a process of its own. An observation is
its last four screens, grey, 84×84, with frame skip and sticky actions as on Atari.

In a game that tells where its hero is (Sonic on the Mega Drive) the reward is that of `envs.six_terms`, and an episode
ends with a lost life or at the end of the level. In any other game stable-retro decides about reward and end.

Departure: an emulator process that dies is started again, and its episode counts as truncated.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import threading
from importlib import metadata
from typing import Any

import gymnasium
import numpy as np

from puzzlebox.envs import six_terms
from puzzlebox.envs.host import HostVector
from puzzlebox.envs.retro_games import action_buttons, check_game, check_rom, is_platformer, start_states
from puzzlebox.envs.retro_pool import Emulator, Slices
from puzzlebox.envs.retro_worker import SIZE, STACK, VARIABLES
from puzzlebox.envs.six_terms import TERMS, Situation, Weights
from puzzlebox.errors import PuzzleboxError
from puzzlebox.fields import check_fields, param, part

FRAMES_PER_SECOND = 60
TILE = 16.0  # pixels of the screen; all distances are in tiles, as in our own platformer
AREA = 16.0  # tiles that a part of the level is wide, for the new-area bonus
X, RINGS, LIVES, LEVEL_END_BONUS = range(len(VARIABLES))


def make_retro(game: str) -> Retro:
    """The world behind ``retro:GAME``; raises UsageError for an unknown game or a missing ROM."""
    check_game(game)
    check_rom(game)
    return Retro(game, Weights() if is_platformer(game) else None)


@dataclasses.dataclass(frozen=True)
class Retro:
    """One game and how it is played; hashable, so that it can be a constant of a compiled program.

    Observations are uint8 [84, 84, 4], the newest frame last. Measures: ``emulators_restarted``, and either what each
    of the six terms paid, ``success`` and ``furthest_x`` (in tiles from the start), or ``score``, the game's own reward
    whatever ``clip`` makes of it.
    """

    game: str
    weights: Weights | None = part()  # of the six-term reward, None for a game that is not paid by it
    state: str = param("", "start states, joined by |, or all; one is drawn per episode (default: the game's own)")
    actions: str = param("", "the buttons of actions 1, 2, … as LEFT|RIGHT+B|…; action 0 presses none")
    sticky: float = param(0.25, "probability that a frame repeats the previous buttons", low=0.0, high=1.0)
    clip: bool = param(True, "training sees only the sign of the game's own reward; the six terms are never clipped")
    frame_skip: int = param(4, "frames per step", low=1)
    noop_max: int = param(30, "an episode starts with a random number of idle frames, fewer than this", low=0)
    max_steps: int = param(4500, "an episode is cut after this many steps (5 minutes)", low=1)
    stagnation: int = param(0, "an episode is cut after this many steps without a new place or reward; 0: never", low=0)
    frame_stack = STACK  # frames in an observation, for a replay that keeps each once

    def __post_init__(self) -> None:
        check_fields(self)
        start_states(self.game, self.state)
        action_buttons(self.game, self.actions)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(0, 255, (SIZE, SIZE, STACK), np.uint8)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(len(action_buttons(self.game, self.actions)))

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of what is told beside the reward, see the class."""
        of_reward = (*TERMS, "success", "furthest_x") if self.weights is not None else ("score",)
        return (*of_reward, "emulators_restarted")

    @property
    def protocol(self) -> dict[str, Any]:
        """The rules, in words, for the run directory and every score."""
        return {
            "simulator": f"stable-retro {metadata.version('stable-retro')}",
            "start_states": start_states(self.game, self.state),
            "actions": ["+".join(pressed) or "none" for pressed in action_buttons(self.game, self.actions)],
            "sticky_actions": self.sticky,
            "frames_per_step": self.frame_skip,
            "noop_max": self.noop_max,
            "max_steps_per_episode": self.max_steps,
            "stagnation": self.stagnation,
        } | (
            {"reward_clipping": self.clip} if self.weights is None else {"six_terms": dataclasses.asdict(self.weights)}
        )

    def evaluation(self) -> Retro:
        """The rules for scores: rewards as they are."""
        return dataclasses.replace(self, clip=False)

    def settings(self) -> dict[str, Any]:
        """What an emulator process is told."""
        return {
            "game": self.game,
            "states": start_states(self.game, self.state),
            "buttons": action_buttons(self.game, self.actions),
            "six_terms": self.weights is not None,
        } | {name: getattr(self, name) for name in ("frame_skip", "sticky", "noop_max", "max_steps", "stagnation")}

    def vectorize(self, num_envs: int) -> HostVector:
        """``num_envs`` emulators for each agent."""
        return HostVector(self, num_envs)

    def simulators(self) -> Consoles:
        """Where the emulators of this kind run."""
        with _LOCK:
            if self not in _CONSOLES:
                _CONSOLES[self] = Consoles(self)
            return _CONSOLES[self]

    def single(self, render_mode: str | None = None) -> Single:
        """One emulator by the rules for scores, to watch."""
        return Single(self, render_mode)

    def close(self) -> None:
        """Ends all emulators of this kind; their states cannot be stepped again."""
        with _LOCK:
            _CONSOLES.pop(self, None)
            slices = _SLICES.pop(json.dumps(self.settings()), None)
        if slices is not None:
            slices.close()


class Consoles:
    """All emulators of one kind, and what the six-term reward remembers of each episode."""

    def __init__(self, kind: Retro) -> None:
        self.kind = kind
        settings = kind.settings()  # the same for training and for scores, which share the processes
        self.slices = _SLICES.setdefault(json.dumps(settings), Slices(f"retro:{kind.game}", settings))
        self.situations: dict[int, Situation] = {}

    def call(self, method: str, handles: list[int], rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """`Simulators.call`."""
        if method == "reset":
            replies = self.slices.reset(handles, rows)
            for handle, row in zip(handles, replies, strict=True):
                self.situations[handle] = beginning(row["start"])
            return (replies["following"],)
        replies, restarted = self.slices.step(handles, rows)
        if self.kind.weights is not None:
            paid = np.stack([self._score(handle, row) for handle, row in zip(handles, replies, strict=True)])
            reward = paid[..., : len(TERMS)].sum(axis=-1)
        else:
            paid = replies["reward"][..., None]
            reward = np.sign(replies["reward"]) if self.kind.clip else replies["reward"]
        measures = np.concatenate([paid, restarted[..., None]], axis=-1, dtype=np.float32)
        fields = (replies["seen"], reward, replies["terminated"], replies["truncated"], replies["following"])
        return *(np.ascontiguousarray(field) for field in fields), measures

    def _score(self, handle: int, replies: np.ndarray) -> np.ndarray:
        """What the six terms paid, then success and the tiles won beyond the furthest place so far, float32 [B, 8]."""
        assert self.kind.weights is not None
        before = self.situations[handle]
        after = moved(before, replies["variables"], replies["terminated"])
        terms = six_terms.terms(self.kind.weights, AREA, before, after)
        columns = [*terms.values(), after.completed, after.furthest - before.furthest]
        # The next step is compared with this one, or with the start of the next episode.
        done = replies["terminated"] | replies["truncated"]
        fresh = beginning(replies["start"])
        self.situations[handle] = Situation(*(np.where(done, new, old) for new, old in zip(fresh, after, strict=True)))
        return np.stack([np.asarray(column, np.float32) for column in columns], axis=-1)

    def forget(self, handles: list[int]) -> None:
        """`Simulators.forget`."""
        self.slices.forget(handles)
        for handle in handles:
            self.situations.pop(handle, None)


def beginning(variables: np.ndarray) -> Situation:
    """The situation at the start of an episode, from the emulators' `VARIABLES`, float32 [B, 4]."""
    x = variables[:, X] / TILE
    return Situation(x, x, x, variables[:, RINGS], variables[:, LIVES], np.zeros(len(x), bool))


def moved(before: Situation, variables: np.ndarray, terminated: np.ndarray) -> Situation:
    """The situation after a step, from `VARIABLES` [B, 4].

    A level is completed where its points are being counted and the episode ends.
    """
    x = variables[:, X] / TILE
    return Situation(
        x,
        np.minimum(before.leftmost, x),
        np.maximum(before.furthest, x),
        variables[:, RINGS],
        variables[:, LIVES],
        terminated & (variables[:, LEVEL_END_BONUS] > 0),
    )


class Single(gymnasium.Env):
    """One emulator in plain Python; its picture is the console's own screen in colour."""

    def __init__(self, kind: Retro, render_mode: str | None = None) -> None:
        self.kind, self.render_mode = kind, render_mode
        self.observation_space, self.action_space = kind.observation_space, kind.action_space
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND // kind.frame_skip}
        self.emulator = Emulator(kind.settings())

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        reply = self._ask(b"r", int(self.np_random.integers(2**31)))
        self.situation = beginning(reply["start"])
        self.picture = self.emulator.picture()
        return reply["following"][0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        last = self.emulator.picture()  # after the end of an episode the emulator already shows the next one
        reply = self._ask(b"s", int(action))
        over = bool(reply["terminated"][0] or reply["truncated"][0])
        self.picture = last if over else self.emulator.picture()
        reward = float(reply["reward"][0])
        if self.kind.weights is not None:
            after = moved(self.situation, reply["variables"], reply["terminated"])
            reward = float(sum(t[0] for t in six_terms.terms(self.kind.weights, AREA, self.situation, after).values()))
            self.situation = after
        return reply["seen"][0], reward, bool(reply["terminated"][0]), bool(reply["truncated"][0]), {}

    def render(self) -> np.ndarray:
        """The screen, uint8 [height, width, 3]."""
        return self.picture

    def close(self) -> None:
        """Ends the process."""
        self.emulator.close()

    def _ask(self, letter: bytes, number: int) -> np.ndarray:
        """The reply to one request, `REPLY` [1]; raises PuzzleboxError for an emulator that died."""
        self.emulator.send(letter, number)
        reply = self.emulator.receive()
        if reply is None:
            raise PuzzleboxError(f"the emulator of retro:{self.kind.game} died ({self.emulator.death()})")
        return np.asarray(reply)[None]


_CONSOLES: dict[Retro, Consoles] = {}
_SLICES: dict[str, Slices] = {}
_LOCK = threading.Lock()


@atexit.register
def close_all() -> None:
    """Ends every emulator process."""
    for kind in list(_CONSOLES):
        kind.close()
