"""Atari in the compiled step, against ale-py's single game behind Gymnasium's own wrappers."""

import sys
import types
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.envs import make
from puzzlebox.envs.atari import Atari, Games, blank_before, channels_last
from puzzlebox.envs.check import check_environment
from puzzlebox.envs.host import simulation
from puzzlebox.envs.vector import vectorize
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.fields import params
from puzzlebox.types import Timestep


def area(picture, size, interpolation):
    """Every new pixel is the mean of the old ones beneath it, parts counting as parts: OpenCV's INTER_AREA."""

    def weights(old, new):
        edges = np.linspace(0, old, new + 1)
        low, high = edges[:-1, None], edges[1:, None]
        inside = np.minimum(high, np.arange(1, old + 1)) - np.maximum(low, np.arange(old))
        return np.clip(inside, 0, None) / (old / new)

    height, width = picture.shape
    return np.rint(weights(height, size[1]) @ picture @ weights(width, size[0]).T).astype(np.uint8)


@pytest.fixture
def opencv(monkeypatch):
    """Gymnasium's wrapper resizes with OpenCV, which is not among our packages."""
    monkeypatch.setitem(sys.modules, "cv2", types.SimpleNamespace(INTER_AREA=3, resize=area))


def gymnasium_game(name, sticky, life_loss=False):
    import ale_py

    gymnasium.register_envs(ale_py)
    env = gymnasium.make(f"ALE/{name}-v5", frameskip=1, repeat_action_probability=sticky, disable_env_checker=True)
    env = gymnasium.wrappers.AtariPreprocessing(env, noop_max=0, terminal_on_life_loss=life_loss)
    return gymnasium.wrappers.FrameStackObservation(env, 4, padding_type="zero")


def ale_seed(seed):
    """The seed that Gymnasium's Atari gives to the emulator."""
    return int(np.random.SeedSequence(seed).generate_state(2)[1])


@pytest.mark.parametrize(
    ("ids", "sticky", "steps"), [(("pong", "Pong"), 0.0, 120), (("breakout", "Breakout"), 0.25, 330)]
)
def test_step_for_step_what_gymnasium_plays(opencv, ids, sticky, steps):
    """Frames to one grey level (OpenCV rounds sums in single precision), rewards, endings and restarts exactly."""
    seed = next(s for s in range(9) if ale_seed(s) < 2**31)
    theirs = gymnasium_game(ids[1], sticky)
    ours = Games(Atari(ids[0], sticky=sticky, noop_max=0, clip=False))
    (first,) = ours.call("reset", [7], np.array([[ale_seed(seed)]], np.uint32))
    seen = theirs.reset(seed=seed)[0]
    assert (first[0, 0, ..., :3] == 0).all()
    endings, points = 0, 0.0
    for action in np.random.default_rng(0).integers(0, theirs.action_space.n, steps):
        assert np.abs(first[0, 0].astype(int) - np.moveaxis(seen, 0, -1)).max() <= 1
        true, reward, terminated, truncated, first, score = ours.call("step", [7], np.array([[action]], np.int32))
        seen, their_reward, their_end, their_cut, _ = theirs.step(action)
        assert (reward[0, 0], terminated[0, 0], truncated[0, 0]) == (their_reward, their_end, their_cut)
        assert score[0, 0, 0] == their_reward
        assert np.abs(true[0, 0].astype(int) - np.moveaxis(seen, 0, -1)).max() <= 1
        endings, points = endings + their_end, points + abs(their_reward)
        if their_end:
            seen = theirs.reset()[0]
    assert points > 0 and (endings > 0) == (ids[0] == "breakout")
    ours.forget([7])


def play(name, steps, seed=0, num_envs=1):
    """First observation, timesteps and following observations of random play, without compiling anything."""
    env = make(name)
    games = Games(env)
    (first,) = games.call("reset", [0], np.arange(seed, seed + num_envs, dtype=np.uint32)[None])
    actions = np.random.default_rng(seed).integers(0, env.action_space.n, (steps, 1, num_envs), np.int32)
    *fields, following, measures = map(np.stack, zip(*(games.call("step", [0], row) for row in actions), strict=True))
    timestep = Timestep(*(field[:, 0] for field in fields), {"score": measures[:, 0, :, 0]})
    return first[0], timestep, following[:, 0]


def test_clipping_is_for_training_only():
    name = "atari:asterix,noop_max=0"
    _, plain, _ = play(f"{name},clip=false", 150)
    _, clipped, _ = play(name, 150)
    assert plain.reward.max() > 1
    np.testing.assert_array_equal(clipped.reward, np.sign(plain.reward))
    for timestep in (plain, clipped):
        np.testing.assert_array_equal(timestep.measures["score"], plain.reward)
    evaluation = make(f"{name},life_loss=true,frame_skip=3").evaluation()
    assert evaluation == make(f"{name},clip=false,life_loss=false,frame_skip=3")
    assert evaluation.protocol["reward_clipping"] is False


def test_a_life_is_an_episode_and_the_game_goes_on():
    """Breakout has five lives: with life_loss five endings to every one without, in the same game."""
    first, whole, _ = play("atari:breakout,fire_reset=true", 420)
    again, lives, following = play("atari:breakout,fire_reset=true,life_loss=true", 420)
    np.testing.assert_array_equal(first, again)
    ends = np.flatnonzero(lives.terminated[:, 0])
    games = np.flatnonzero(whole.terminated[:, 0])
    assert len(games) >= 1 and ends[4::5].tolist() == games.tolist()
    np.testing.assert_array_equal(whole.reward, lives.reward)
    newest = np.index_exp[:, :, :, :, -1]
    np.testing.assert_array_equal(whole.observation[newest], lives.observation[newest])
    assert lives.observation[ends[0], 0, ..., 0].any()
    for step, blank in ((ends[0], 3), (ends[0] + 1, 2), (ends[0] + 3, 0)):  # nothing of the life before
        shown = following[step, 0].any(axis=(0, 1)).tolist()
        assert shown == [False] * blank + [True] * (4 - blank)
    after = lives.observation[ends[0] + 1, 0]
    np.testing.assert_array_equal(after[..., 2], following[ends[0], 0, ..., 3])


def test_an_episode_that_is_cut_is_truncated_and_keeps_its_last_screen():
    _, timestep, following = play("atari:pong,max_frames=40,noop_max=0,sticky=0", 25)
    assert np.flatnonzero(timestep.truncated[:, 0]).tolist() == [9, 19]
    assert not timestep.terminated.any()
    assert timestep.observation[9, 0].any(axis=(0, 1)).all()
    assert following[9, 0].any(axis=(0, 1)).tolist() == [False, False, False, True]


def test_sound_under_two_axes_of_agents():
    check_environment(make("atari:pong,max_frames=60"), steps=16, num_envs=2)


def test_seeds_repeat_and_differ():
    two, one = (play("atari:pong", 30, 5, num_envs=n)[1].observation for n in (2, 1))
    still = play("atari:pong", 30, 5)[1].observation
    np.testing.assert_array_equal(one, still)
    assert (two[:, 0] != two[:, 1]).any()


def test_what_is_asked_for_is_what_is_played():
    env = make(
        "atari:breakout,sticky=0.1,full_actions=true,frame_skip=2,fire_reset=yes,noop_max=5,size=42,max_frames=900"
    )
    assert env.action_space.n == 18 and make("atari:breakout").action_space.n == 4
    assert env.protocol == {
        "simulator": env.protocol["simulator"],
        "sticky_actions": 0.1,
        "frames_per_step": 2,
        "full_action_set": True,
        "reward_clipping": True,
        "life_loss_ends_episode": False,
        "noop_max": 5,
        "fire_reset": True,
        "max_frames_per_episode": 900,
        "picture": "42 × 42",
    }
    assert env.observation_space.shape == (42, 42, 4)
    assert env.protocol["simulator"].startswith("ale-py 0.")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("atari:pog", r"^unknown Atari game 'pog'; did you mean pong\?$"),
        ("atari:Pong", r"did you mean pong"),
        ("atari:pong,stickyness=0", r"^unknown option of atari:pong 'stickyness'; did you mean sticky\?$"),
        ("atari:pong,sticky=much", r"^sticky is 'much'; it must be a number$"),
        ("atari:pong,sticky=nan", r"^sticky is nan; it must be at least 0.0$"),
        ("atari:pong,frame_skip=0", r"^frame_skip is 0; it must be at least 1$"),
        ("atri:pong", r"^unknown environment prefix 'atri'; did you mean atari or minatar or grid\?$"),
    ],
)
def test_mistakes_are_one_line(name, message):
    with pytest.raises(UsageError, match=message):
        make(name)


def test_without_the_extra(monkeypatch):
    from puzzlebox.envs import atari

    atari.all_games.cache_clear()
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(UsageError, match=r"^ale-py is not installed; get it with: pip install 'puzzlebox\[atari\]'$"):
        make("atari:pong")


def test_closed_games_say_so():
    env = make("atari:pong,noop_max=1")
    many = vectorize(env, 1)
    state, _ = many.reset(jax.random.key(0))
    env.close()
    with pytest.raises(PuzzleboxError, match="the atari:pong worlds of this state are gone"), simulation(many):
        jax.block_until_ready(many.step(state, jnp.zeros(1, jnp.int32), jax.random.key(0)))


def test_one_game_to_watch():
    world = make("atari:pong,max_frames=40,noop_max=0").single("rgb_array")
    assert world.metadata["render_fps"] == 15
    observation, _ = world.reset(seed=3)
    assert world.observation_space.contains(observation)
    pictures = []
    for step in range(10):
        observation, reward, terminated, truncated, _ = world.step(np.int32(2))
        assert (reward, terminated, truncated) == (0.0, False, step == 9)
        pictures.append(world.render())
        grey = pictures[-1] @ [0.299, 0.587, 0.114]
        assert pictures[-1].shape == (210, 160, 3)
        difference = np.abs(area(np.rint(grey), (84, 84), 3).astype(int) - observation[..., 3])
        assert np.mean(difference > 2) < 0.02  # what flickers is pooled in colour there, in grey here
    assert (pictures[0] != pictures[9]).any()


def test_the_page_lists_every_option():
    page = (Path(__file__).parents[2] / "docs/atari.md").read_text(encoding="utf-8")
    for name, field in params(Atari).items():
        assert f"| `{name}` | {field.default} |" in page


def test_helpers():
    screens = np.arange(2 * 4 * 3 * 5, dtype=np.uint8).reshape(2, 4, 3, 5)
    np.testing.assert_array_equal(channels_last(screens), screens.transpose(0, 2, 3, 1))
    ones = np.ones((5, 1, 1, 4), np.uint8)
    blank_before(ones, np.arange(5))
    assert ones[:, 0, 0].tolist() == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
