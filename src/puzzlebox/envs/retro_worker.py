"""One console emulator in a process of its own: this file is run by `retro_pool`, and imports no JAX.

Requests are 8 bytes on standard input, a letter and a number: ``r`` resets with a seed, ``s`` steps with an action,
``p`` asks for the picture. Replies on standard output are `REPLY` records; that of a picture is followed by its bytes.
The process ends when its input does. What the emulator prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from typing import Any

import numpy as np
from PIL import Image

SIZE, STACK = 84, 4
REQUEST = struct.Struct("<ci3x")
VARIABLES = ("x", "rings", "lives", "level_end_bonus")  # of a game that the six-term reward is made for
SPECIAL_STAGE = 16  # Sonic 2's mode in a stage outside the level, where x means something else
REPLY = np.dtype(
    [
        ("fault", "S300"),
        ("reward", "f4"),
        ("terminated", "?"),
        ("truncated", "?"),
        ("start", "f4", (len(VARIABLES),)),  # the variables in the first frame of the episode to act in next
        ("variables", "f4", (len(VARIABLES),)),  # those at s_{t+1}
        ("seen", "u1", (SIZE, SIZE, STACK)),  # s_{t+1}
        ("following", "u1", (SIZE, SIZE, STACK)),  # what to act on next
        ("picture", "i4", (3,)),  # the shape of the bytes that follow, 0 for none
    ]
)


class Console:
    """A game with frame skip, sticky actions, a stack of small grey frames, and clocks; it restarts by itself.

    ``settings``: game, states, buttons (a list of names per action), frame_skip, sticky, noop_max, max_steps,
    stagnation, six_terms.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        import stable_retro

        self.settings = settings
        self.env = stable_retro.make(
            settings["game"],
            state=settings["states"][0],
            render_mode="rgb_array",
            use_restricted_actions=stable_retro.Actions.ALL,
        )
        names = self.env.buttons
        self.masks = [np.array([name in pressed for name in names], np.int8) for pressed in settings["buttons"]]
        self.reply = np.zeros((), REPLY)
        self.stack = np.zeros((SIZE, SIZE, STACK), np.uint8)

    def reset(self, seed: int) -> None:
        """The first episode of a new sequence."""
        self.random = np.random.default_rng(seed & 0xFFFFFFFF)
        self.begin()
        self.reply["seen"] = self.stack

    def begin(self) -> None:
        """Begins an episode: a start state, some idle frames; in the first stack the three older frames are blank."""
        states = self.settings["states"]
        self.env.load_state(states[self.random.integers(len(states))])
        screen, _ = self.env.reset()
        self.held = self.masks[0]
        for _ in range(self.random.integers(max(1, self.settings["noop_max"]))):
            screen, *_ = self.env.step(self.masks[0])
        self.info = self.env.data.lookup_all()
        self.stack[:] = 0
        self.stack[..., -1] = small(screen)
        self.time, self.still, self.left = 0, 0, False
        self.furthest = self.info.get("x", 0)
        self.reply["following"] = self.stack
        self.reply["start"] = self.variables()

    def step(self, action: int) -> None:
        """``frame_skip`` frames with the buttons of ``action``; after an end a new episode begins at once."""
        # Play the frames. A sticky frame keeps the buttons that were held; an end or a special stage stops early.
        reward, over, screen = 0.0, False, None
        for _ in range(self.settings["frame_skip"]):
            if self.random.random() >= self.settings["sticky"]:
                self.held = self.masks[action]
            before = self.info
            screen, paid, done, _, self.info = self.env.step(self.held)
            if self.settings["six_terms"] and self.info.get("game_mode") == SPECIAL_STAGE:
                self.info, self.left = before, True
                break
            reward += float(paid)
            over = self.ends(before) if self.settings["six_terms"] else bool(done)
            if over:
                break
        # Write the reply; where the episode is over, `begin` replaces what to act on next.
        self.stack[..., :-1] = self.stack[..., 1:].copy()
        self.stack[..., -1] = small(screen)
        self.time += 1
        self.reply["reward"], self.reply["terminated"] = reward, over
        self.reply["truncated"] = not over and self.cut(reward)
        self.reply["seen"] = self.reply["following"] = self.stack
        self.reply["variables"] = self.variables()
        if over or self.reply["truncated"]:
            self.begin()

    def ends(self, before: dict[str, Any]) -> bool:
        """Whether a life was lost, or the points at the end of a level are being counted."""
        return self.info["lives"] < before["lives"] or self.info["level_end_bonus"] > before["level_end_bonus"] == 0

    def cut(self, reward: float) -> bool:
        """Whether time is up, the level was left for a special stage, or nothing was reached for too long.

        In a six-term game something is reached by coming to a new place, in any other by a reward.
        """
        reached = self.info["x"] > self.furthest if self.settings["six_terms"] else reward > 0
        self.still = 0 if reached else self.still + 1
        self.furthest = max(self.furthest, self.info.get("x", 0))
        limits = self.settings
        return self.left or self.time >= limits["max_steps"] or 0 < limits["stagnation"] <= self.still

    def variables(self) -> list[float]:
        """The `VARIABLES` as they are now, 0 for one that the game does not have."""
        return [float(self.info.get(name, 0)) for name in VARIABLES]


def small(screen: Any) -> np.ndarray:
    """A colour screen as uint8 [84, 84] grey; every pixel is the mean of those it covers."""
    return np.asarray(Image.fromarray(screen).convert("L").resize((SIZE, SIZE), Image.Resampling.BOX))


def main() -> None:
    """Serves requests until the input ends."""
    requests, replies = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    reply, console, fault = np.zeros((), REPLY), None, b""
    try:
        console = Console(json.loads(sys.argv[1]))
        reply = console.reply
    except Exception as error:
        fault = as_line(error)
    while len(request := requests.read(REQUEST.size)) == REQUEST.size:
        letter, number = REQUEST.unpack(request)
        picture = b""
        try:
            if console is not None and letter == b"p":
                screen = np.ascontiguousarray(console.env.get_screen())
                reply["picture"], picture = screen.shape, screen.tobytes()
            elif console is not None:
                reply["picture"] = 0
                (console.reset if letter == b"r" else console.step)(number)
        except Exception as error:
            fault = as_line(error)
        reply["fault"] = fault
        try:
            replies.write(reply.tobytes() + picture)
            replies.flush()
        except BrokenPipeError:
            break


def as_line(error: Exception) -> bytes:
    """The error in one line, as it fits into a reply."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".encode()[:300]


if __name__ == "__main__":
    main()
