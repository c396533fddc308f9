"""Console games: the game that ships with stable-retro in real emulators, and Sonic's reward on recorded variables."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_retro")

from puzzlebox.envs import make, retro, retro_games, retro_pool, retro_worker
from puzzlebox.envs.check import check_environment
from puzzlebox.envs.host import simulation
from puzzlebox.envs.retro import Consoles, Retro
from puzzlebox.envs.retro_worker import REPLY, Console, small
from puzzlebox.envs.six_terms import TERMS, Weights
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.fields import params

AIRSTRIKER = "retro:Airstriker-Genesis-v0"
SONIC = retro_games.SONIC_2
BY_HAND = """
import json, sys
import numpy as np
import stable_retro
buttons, actions, skip = json.loads(sys.argv[1])
free = stable_retro.Actions.ALL
env = stable_retro.make("Airstriker-Genesis-v0", render_mode="rgb_array", use_restricted_actions=free)
screens, rewards = [env.reset()[0]], []
for action in actions:
    held = np.array([name in buttons[action] for name in env.buttons], np.int8)
    frames = [env.step(held) for _ in range(skip)]
    screens.append(frames[-1][0])
    rewards.append(sum(frame[1] for frame in frames))
np.savez(sys.argv[2], screens=np.stack(screens), rewards=rewards)
"""


def play(env, actions, seeds):
    """First screens [B, ...] and what every step gives, [T, B, ...]."""
    consoles = env.simulators()
    (first,) = consoles.call("reset", [1], np.array([seeds], np.uint32))
    steps = [consoles.call("step", [1], np.full((1, len(seeds)), a, np.int32)) for a in actions]
    consoles.forget([1])
    return first[0], *(np.stack(column)[:, 0] for column in zip(*steps, strict=True))


def test_a_game_is_what_the_emulator_plays_by_hand(tmp_path):
    """Buttons, frame skip, reward, grey, size and stack, against stable-retro alone in a process of its own."""
    env = make(f"{AIRSTRIKER},sticky=0,noop_max=0,frame_skip=3,clip=false")
    buttons = [[], ["LEFT"], ["RIGHT"], ["UP"], ["DOWN"], ["B"]]
    buttons += [[*direction, "B"] for direction in buttons[1:5]]
    assert env.settings()["buttons"] == buttons and env.action_space.n == 10
    actions = [5, 6, 0, 6, 7, 9, 5, 8] * 15
    arguments = json.dumps([buttons, actions, 3])
    subprocess.run([sys.executable, "-c", BY_HAND, arguments, str(tmp_path / "hand.npz")], check=True)
    hand = np.load(tmp_path / "hand.npz")
    grey = np.stack([small(screen) for screen in hand["screens"]])
    first, seen, reward, terminated, truncated, following, measures = play(env, actions, [1])
    env.close()
    assert not (terminated | truncated).any() and env.measures == ("score", "emulators_restarted")
    np.testing.assert_array_equal(reward[:, 0], hand["rewards"])
    np.testing.assert_array_equal(measures[:, 0], np.stack([hand["rewards"], 0 * hand["rewards"]], axis=-1))
    assert reward.max() > 1
    np.testing.assert_array_equal(first[0, ..., 3], grey[0])
    assert not first[..., :3].any()
    np.testing.assert_array_equal(seen, following)
    for t in range(3, len(actions)):
        np.testing.assert_array_equal(np.moveaxis(seen[t, 0], -1, 0), grey[t - 2 : t + 2])


def test_clocks_starts_and_emulators_that_wait_for_the_next_slice():
    env = make(f"{AIRSTRIKER},max_steps=6,stagnation=4,noop_max=20")
    first, seen, reward, terminated, truncated, following, _ = play(env, [0] * 11, [3, 4])
    processes = [emulator.process.pid for emulator in env.simulators().slices.idle]
    again = play(env.evaluation(), [0] * 11, [4, 3])
    assert sorted(e.process.pid for e in env.simulators().slices.idle) == sorted(processes)
    env.close()
    assert not terminated.any() and not reward.any()
    assert truncated.tolist() == [[t % 4 == 3] * 2 for t in range(11)]  # nothing was ever hit
    assert seen[3, 0, ..., 0].any() and not following[3, 0, ..., :3].any() and following[3, 0, ..., 3].any()
    np.testing.assert_array_equal(first, again[0][::-1])
    np.testing.assert_array_equal(seen, again[1][:, ::-1])
    assert (first[0] != first[1]).any()


def test_sound_under_two_axes_of_agents():
    env = make(f"{AIRSTRIKER},max_steps=4")
    with simulation(env):
        check_environment(env, steps=10, num_envs=1)
    env.close()


def test_an_emulator_that_is_killed_is_started_again_and_counted():
    env = make(f"{AIRSTRIKER},noop_max=0")
    consoles = env.simulators()
    (first,) = consoles.call("reset", [1], np.array([[1, 2]], np.uint32))
    forward = np.full((1, 2), 7, np.int32)
    for _ in range(3):
        before, *_ = consoles.call("step", [1], forward)
    victim = consoles.slices.slices[1].emulators[1].process
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    seen, reward, terminated, truncated, following, measures = consoles.call("step", [1], forward)
    assert truncated.tolist() == [[False, True]] and not terminated.any() and reward[0, 1] == 0
    assert measures[..., 1].tolist() == [[0.0, 1.0]]
    np.testing.assert_array_equal(seen[0, 1], before[0, 1])  # s_{t+1} is not known; the last screens stand for it
    np.testing.assert_array_equal(following[0, 1], first[0, 1])
    assert (seen[0, 0] != before[0, 0]).any()
    *_, measures = consoles.call("step", [1], forward)
    assert not measures[..., 1].any() and consoles.slices.slices[1].emulators[1].process.poll() is None
    processes = [emulator.process for emulator in consoles.slices.slices[1].emulators]
    env.close()
    assert all(process.poll() is not None for process in processes)
    with pytest.raises(PuzzleboxError, match=f"the {AIRSTRIKER} worlds of this state are gone"):
        env.simulators().call("step", [1], forward)


def test_emulators_that_never_live_are_no_endless_loop(monkeypatch):
    env = make(AIRSTRIKER)
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(PuzzleboxError, match=r"died 3 times before its first step \(exit status 1\)"):
        env.simulators().call("reset", [1], np.array([[1]], np.uint32))
    env.close()


def test_a_fault_inside_the_emulator_is_one_line():
    emulator = retro_pool.Emulator(make(AIRSTRIKER).settings() | {"states": ["Nowhere"]})
    emulator.send(b"r", 1)
    with pytest.raises(PuzzleboxError, match=r"^retro:Airstriker-Genesis-v0 failed: "):
        emulator.receive()
    emulator.close()


class Recorded:
    """In the place of stable-retro's environment: variables as recorded, one row per frame."""

    def __init__(self, rows):
        self.rows, self.data = iter(rows), self

    def load_state(self, name): ...

    def reset(self):
        self.row = next(self.rows)
        return np.zeros((224, 320, 3), np.uint8), {}

    def step(self, held):
        self.row = next(self.rows)
        return np.zeros((224, 320, 3), np.uint8), 5.0, False, False, self.row

    def lookup_all(self):
        return self.row


def frames(*rows):
    return [dict(zip(("x", "rings", "lives", "level_end_bonus"), row, strict=True)) for row in rows]


def recorded(rows, **settings):
    console = object.__new__(Console)
    console.settings = {"states": ["EmeraldHillZone.Act1"], "frame_skip": 2, "sticky": 0.0, "noop_max": 0}
    console.settings |= {"max_steps": 99, "stagnation": 0, "six_terms": True} | settings
    rows = rows if isinstance(rows[0], dict) else frames(*rows)
    console.env, console.masks = Recorded(rows), [np.zeros(12, np.int8)]
    console.reply, console.stack = np.zeros((), REPLY), np.zeros((84, 84, 4), np.uint8)
    console.reset(1)
    return console


def ends(console, steps):
    """Per step whether it terminated, whether it was cut, and x at its end."""
    out = []
    for _ in range(steps):
        console.step(0)
        out.append(tuple(console.reply[name].item() for name in ("terminated", "truncated")))
        out[-1] += (console.reply["variables"][0].item(),)
    return out


def test_a_lost_life_and_the_count_at_the_end_of_a_level_end_sonics_episode():
    rows = [
        (96, 0, 3, 0),
        (100, 0, 3, 0),
        (104, 1, 3, 0),
        (108, 1, 2, 0),
        (96, 0, 3, 0),
    ]  # dies in the first of two frames
    rows += [(200, 0, 3, 0), (300, 0, 3, 500), (96, 0, 3, 0), (98, 0, 3, 0), (99, 0, 3, 0)]
    console = recorded(rows)
    assert console.reply["start"].tolist() == [96, 0, 3, 0]
    assert ends(console, 2) == [(False, False, 104), (True, False, 108)]
    assert console.reply["start"].tolist() == [96, 0, 3, 0]
    assert ends(console, 2) == [(True, False, 300), (False, False, 99)]


def test_time_and_standing_still_cut_sonics_episode():
    rows = [(x, 0, 3, 0) for x in (96, 97, 98, 90, 95, 96, 97, 97, 98, 50, 51, 52)]  # 98, then three steps without news
    assert [cut for _, cut, _ in ends(recorded(rows, stagnation=3), 5)] == [False, False, False, True, False]
    assert [cut for _, cut, _ in ends(recorded(rows, stagnation=4), 4)] == [False, False, False, False]
    assert [cut for _, cut, _ in ends(recorded(rows, max_steps=4), 5)] == [False, False, False, True, False]


def test_a_special_stage_cuts_sonics_episode_before_it():
    rows = frames((96, 50, 3, 0), (98, 50, 3, 0), (7, 50, 3, 0), (96, 0, 3, 0), (97, 0, 3, 0), (98, 0, 3, 0))
    rows[2]["game_mode"] = 16
    console = recorded(rows)
    assert ends(console, 2) == [(False, True, 98), (False, False, 98)]


def test_another_games_own_end_and_reward():
    console = recorded([(0, 0, 3, 0)] * 9, six_terms=False)
    assert ends(console, 1) == [(False, False, 0)] and console.reply["reward"] == 10


class Replies:
    """In the place of emulators: replies as recorded."""

    def __init__(self, start, steps):
        self.start, self.steps = start, iter(steps)

    def reset(self, handles, seeds):
        return reply(start=self.start)

    def step(self, handles, actions):
        return next(self.steps), np.zeros((1, 1), bool)


def reply(**fields):
    record = np.zeros((1, 1), REPLY)
    for name, value in fields.items():
        record[name] = value
    return record


def test_the_six_terms_of_a_recorded_level_worked_by_hand():
    """A tile is 16 points, a part of the level 16 tiles. The weights are 1, 2, 4, 8, 16 and 32."""
    env = Retro(SONIC, Weights(1.0, 2.0, 4.0, 8.0, 16.0, 32.0))
    steps = [
        reply(variables=(160, 0, 3, 0)),  # 64 points to the right
        reply(variables=(128, 2, 3, 0)),  # 32 back, two rings
        reply(variables=(608, 1, 3, 0)),  # 480 to the right, over two borders of parts: 256 and 512; a ring lost
        reply(variables=(608, 1, 2, 0), terminated=True, start=(96, 0, 3, 0)),  # a life lost
        reply(variables=(96, 0, 3, 0)),  # nothing
        reply(variables=(112, 0, 3, 900), terminated=True, start=(96, 0, 3, 0)),  # completed
    ]
    consoles = Consoles(env)
    consoles.slices = Replies((96, 0, 3, 0), steps)
    consoles.call("reset", [5], np.zeros((1, 1), np.uint32))
    results = [consoles.call("step", [5], np.zeros((1, 1), np.int32)) for _ in steps]
    assert env.measures == (*TERMS, "success", "furthest_x", "emulators_restarted")
    by_hand = [
        [4, 8, 0, 0, 0, 0, 0, 4, 0],
        [-2, 4, 0, 16, 0, 0, 0, 0, 0],
        [30, 60, 8, -8, 0, 0, 0, 28, 0],
        [0, 0, 0, 0, -16, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 2, 0, 0, 0, 32, 1, 1, 0],
    ]
    assert [measures[0, 0].tolist() for *_, measures in results] == by_hand
    assert [reward.item() for _, reward, *_ in results] == [sum(row[:6]) for row in by_hand]


def test_sonic_has_ten_actions_and_its_weights_are_options(monkeypatch):
    monkeypatch.setattr(retro, "check_rom", lambda game: None)
    states = "EmeraldHillZone.Act1|ChemicalPlantZone.Act2"
    env = make(f"retro:{SONIC},progress=0.5,new_area=2,state={states},stagnation=200")
    assert env.weights == Weights(progress=0.5, new_area=2.0)
    assert env.protocol["actions"] == (
        ["none", "LEFT", "RIGHT", "B", "LEFT+B", "RIGHT+B", "DOWN", "LEFT+DOWN", "RIGHT+DOWN", "DOWN+B"]
    )
    assert env.settings()["states"] == states.split("|")
    assert env.protocol["six_terms"] == {
        **{name: getattr(Weights(), name) for name in TERMS},
        "progress": 0.5,
        "new_area": 2.0,
    }
    assert len(make(f"retro:{SONIC},state=all").settings()["states"]) == 18
    assert make(f"retro:{SONIC}").settings()["states"] == ["EmeraldHillZone.Act1"]
    for options, message in {
        "rings=nan": r"^rings is nan; a weight of the reward must be a finite number$",
        "rings=many": r"^rings is 'many'; it must be a number$",
        "new_aera=1": r"^unknown option of retro:SonicTheHedgehog2-Genesis-v0 'new_aera'; did you mean new_area\?$",
        "state=EmeraldHilZone.Act1": r"^unknown start state of .*; did you mean EmeraldHillZone.Act1 or ",
        "actions=LEFT|D": r"^unknown button of retro:SonicTheHedgehog2-Genesis-v0 'D'; there are: A, B, C, DOWN, ",
    }.items():
        with pytest.raises(UsageError, match=message):
            make(f"retro:{SONIC},{options}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("retro:Airstriker", r"^unknown console game 'Airstriker'; did you mean Airstriker-Genesis-v0"),
        (
            f"retro:{SONIC}",
            r"^retro:SonicTheHedgehog2-Genesis-v0 needs a ROM that you own: Sonic The Hedgehog 2 \(World\) \(Rev A\), "
            r"1,048,576 bytes, SHA-1 8bca5dcef1af3e00098666fd892dc1c2a76333f9; import it: puzzlebox roms import DIR$",
        ),
        (f"{AIRSTRIKER},rings=1", r"^unknown option of retro:Airstriker-Genesis-v0 'rings'; "),
        (f"{AIRSTRIKER},sticky=2", r"^sticky is 2.0; it must be at most 1.0$"),
        (
            f"{AIRSTRIKER},actions=LEFT|FIRE",
            r"^unknown button of retro:Airstriker-Genesis-v0 'FIRE'",
        ),
    ],
)
def test_mistakes_are_one_line(name, message, monkeypatch):
    if SONIC in name:
        monkeypatch.setattr(retro_games, "has_rom", lambda game: False)
    with pytest.raises(UsageError, match=message):
        make(name)


def test_clipping_is_for_training_and_the_games_own_reward():
    consoles = Consoles(make(AIRSTRIKER))
    consoles.slices = Replies((0, 0, 3, 0), [reply(reward=value) for value in (40.0, 0.0, -3.0)])
    consoles.call("reset", [5], np.zeros((1, 1), np.uint32))
    results = [consoles.call("step", [5], np.zeros((1, 1), np.int32)) for _ in range(3)]
    assert [reward.item() for _, reward, *_ in results] == [1.0, 0.0, -1.0]
    assert [measures[0, 0].tolist() for *_, measures in results] == [[40.0, 0.0], [0.0, 0.0], [-3.0, 0.0]]
    assert make(AIRSTRIKER).evaluation() == make(f"{AIRSTRIKER},clip=false")
    assert (
        make(AIRSTRIKER).protocol["reward_clipping"] and not make(AIRSTRIKER).evaluation().protocol["reward_clipping"]
    )


def test_another_rom_is_not_taken(monkeypatch):
    monkeypatch.setattr(retro_games, "hashes", lambda game: ["1234"])
    monkeypatch.setattr(retro_games.library(), "verify_hash", lambda game: [(game, "sha mismatch")])
    message = r"rom.md is another ROM: its SHA-1 is [0-9a-f]{40}, but retro:Airstriker-Genesis-v0 needs .* SHA-1 1234$"
    with pytest.raises(UsageError, match=message):
        make(AIRSTRIKER)


def test_without_the_extra(monkeypatch):
    retro_games.all_games.cache_clear()
    monkeypatch.setitem(sys.modules, "stable_retro", None)
    with pytest.raises(
        UsageError, match=r"^stable-retro is not installed; get it with: pip install 'puzzlebox\[retro\]'$"
    ):
        make(AIRSTRIKER)


def test_one_emulator_to_watch():
    world = make(f"{AIRSTRIKER},max_steps=3").single("rgb_array")
    observation, _ = world.reset(seed=1)
    start = world.render()
    assert start.shape == (224, 320, 3) and world.observation_space.contains(observation)
    assert [world.step(np.int32(6))[3] for _ in range(3)] == [False, False, True]
    assert (world.render() != start).any() and world.metadata["render_fps"] == 15
    world.close()


def test_the_page_lists_every_option():
    page = (Path(__file__).parents[2] / "docs/sonic.md").read_text(encoding="utf-8")
    for name, field in params(Retro).items():
        assert f"| `{name}` | {field.default}" in page


def test_no_jax_in_an_emulator_process():
    source = retro_worker.__file__
    code = f"import sys, runpy; runpy.run_path({source!r}, run_name='x'); print('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
