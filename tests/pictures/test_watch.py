"""Films of episodes: what is on them, how long they last, and plain words where nothing can be filmed."""

import json
import sys

import gymnasium
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from puzzlebox.envs import make
from puzzlebox.envs.grid_drawing import COLOURS, grid_picture, grid_text
from puzzlebox.errors import UsageError
from puzzlebox.pictures import film as films
from puzzlebox.pictures.film import Film
from puzzlebox.pictures.watch import observation_picture, record, set_stage, summary_lines, watch
from puzzlebox.training.train import train


class Painter(gymnasium.Env):
    """Counts to three; its picture is as bright as the count."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = gymnasium.spaces.Discrete(4)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return 0, {}

    def step(self, action):
        self.count += 1
        return self.count, float(action), self.count == 3, False, {}

    def render(self):
        return np.full((100, 300, 3), 80 * self.count, np.uint8)


gymnasium.register("Painter-v0", Painter)


@pytest.fixture(scope="module")
def grid_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "grid"
    train("q_learning", "grid/robot", seeds=2, steps=20_480, episodes=2, run=path, quiet=True)
    return path


def frames(path):
    with Image.open(path) as image:
        for i in range(image.n_frames):
            image.seek(i)
            yield np.asarray(image.convert("RGB")), image.info["duration"]


def shortest_way(rows, start):
    """Breadth-first search by hand: moves from ``start`` to G that avoid # and H."""
    width = len(rows[0])
    seen, frontier, distance = {start}, {start}, 0
    while not any(rows[c // width][c % width] == "G" for c in frontier):
        near = set()
        for cell in frontier:
            y, x = divmod(cell, width)
            for row, column in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= row < len(rows) and 0 <= column < width and rows[row][column] not in "#H":
                    near.add(row * width + column)
        frontier = near - seen
        seen |= frontier
        distance += 1
    return distance


def test_a_trained_robot_is_filmed_on_its_shortest_way(grid_run):
    figures = watch(grid_run, agent=1, seed=5, episodes=2)
    assert figures["gif"] == str(grid_run / "watch.gif")
    stage = set_stage("grid/robot")
    start, _ = stage.env.reset(seed=5)
    first = figures["episodes"][0]
    assert first["ended"] == "terminated"
    assert first["length"] == shortest_way(stage.rows, int(start))
    assert first["episode_return"] == 100 - (first["length"] - 1)
    shown = list(frames(grid_run / "watch.gif"))
    assert len(shown) == figures["frames"] == sum(e["length"] + 1 for e in figures["episodes"])
    assert shown[first["length"]][1] == 2000 and shown[0][1] == 250
    assert any("the task ended" in line for line in summary_lines(figures))
    assert json.dumps(figures)


def test_the_same_seed_is_the_same_film(grid_run, tmp_path):
    once, again, other = (tmp_path / f"{i}.gif" for i in range(3))
    watch(grid_run, out=once, seed=1)
    watch(grid_run, out=again, seed=1)
    watch(grid_run, out=other, seed=2)
    assert once.read_bytes() == again.read_bytes() != other.read_bytes()


def test_our_own_pictures_and_captions(tmp_path):
    stage = set_stage("CartPole-v1,time_limit=4")
    film, (episode,) = record(stage, lambda observation, key: 0, "always left", seed=0)
    assert (episode.length, episode.ended, episode.episode_return) == (4, "truncated", 4.0)
    assert [f.caption for f in film.frames] == [
        "step 0 · return 0",
        "step 2 · return 2",
        "step 4 · return 4 · time was up",
    ]
    film.save(tmp_path / "film.gif")
    (first, duration), *_ = frames(tmp_path / "film.gif")
    assert first.shape == (240 + films.STRIP, 360, 3)
    assert duration == 70  # every second of 30 pictures per second, in hundredths
    assert (first[165:185, 150:200] < 60).any()  # the cart
    with Image.open(film.still(tmp_path / "still.png")) as still:
        assert still.size == (2 * 360 + 8, 2 * (240 + films.STRIP) + 8)


def test_gymnasiums_own_simulator_is_filmed(tmp_path):
    stage = set_stage("gym:Painter-v0")
    assert stage.frames_per_second == 10
    film, (episode,) = record(stage, lambda observation, key: np.int32(1), "painter")
    assert (episode.episode_return, episode.length) == (3.0, 3)
    assert [np.asarray(f.picture)[0, 0, 0] for f in film.frames] == [0, 80, 160, 240]


def test_a_task_learned_from_its_table_plays_in_gymnasium_or_is_drawn_by_us(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)  # as if it were not installed
    stage = set_stage("gym:FrozenLake-v1,is_slippery=false")
    film, (episode,) = record(stage, lambda observation, key: [2, 2, 1, 1, 1, 2][episode_step(observation)], "by hand")
    assert (episode.episode_return, episode.ended) == (1.0, "terminated")
    assert len(film.frames) == 7
    assert film.frames[-1].cells[3][3][0] == " ●"
    with pytest.raises(UsageError, match=r"pip install 'puzzlebox\[render\]'"):
        set_stage("gym:Taxi")


def episode_step(cell):
    """The place of a cell on the way → → ↓ ↓ ↓ → through FrozenLake's 4×4 map."""
    return [0, 1, 2, 6, 10, 14].index(int(cell))


def test_long_episodes_stay_small(monkeypatch):
    monkeypatch.setattr(films, "MAX_FRAMES", 20)
    film = Film(10, "long")
    picture = np.zeros((20, 300, 3), np.uint8)
    for step in range(1000):
        if film.wants(last=step == 999):
            film.add(picture, f"{step}", last=step == 999)
        film.tick()
    assert len(film.frames) <= 20
    assert film.frames[0].caption == "0" and film.frames[-1].caption == "999"
    assert sum(film.seconds[:-1]) == pytest.approx(99.9)  # 999 steps at ten a second
    assert film.seconds[-1] == films.HOLD


def test_an_endless_episode_is_cut(monkeypatch):
    monkeypatch.setattr("puzzlebox.pictures.watch.MAX_STEPS", 7)
    _, (episode,) = record(set_stage("grid/maze,time_limit=0"), lambda observation, key: 0, "into the wall")
    assert (episode.length, episode.ended, episode.episode_return) == (7, "cut", -7.0)


def test_grids_are_drawn_and_written():
    rows = make("grid/toy").layout.rows
    picture = grid_picture(rows, 8, trail=[])
    size = picture.shape[1] // 4
    assert picture.shape == (3 * size, 4 * size, 3)
    assert tuple(picture[size // 2 + size, size + size // 2]) == COLOURS["#"]
    assert tuple(picture[5, 5]) == COLOURS["."]
    assert ["".join(text for text, _ in line) for line in grid_text(rows, 4, trail=[8])] == [
        " · · · G",
        " ●██ · H",
        " • · · ·",
    ]


def test_the_terminal_shows_grids_as_text_and_pictures_in_colour(capsys):
    film, _ = record(set_stage("grid/toy"), lambda observation, key: 0, "north", seed=3)
    console = Console(width=80, height=24, force_terminal=True, color_system="truecolor", record=True)
    console.print(films.as_text(film.frames[0], film.title, console))
    assert " S · · ·"[2:] in console.export_text() and "step 0" in capsys.readouterr().out
    top, bottom = (255, 0, 0), (0, 0, 255)
    picture = films.fit(np.repeat(np.array([[top], [bottom]], np.uint8), 4, axis=1))
    console.print(films.half_blocks(picture, 4, 4))
    out = capsys.readouterr().out
    assert "38;2;255;0;0" in out and "▀" in out


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"agent": 2}, "agent is 2; .* has agents 0 to 1"),
        ({"agent": -1}, "agent is -1"),
        ({"episodes": 0}, "episodes is 0; it must be at least 1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_requests(grid_run, request_, message):
    with pytest.raises(UsageError, match=message):
        watch(grid_run, **request_)


def test_worlds_that_draw_nothing():
    with pytest.raises(UsageError, match="bandit draws no pictures"):
        set_stage("bandit")
    with pytest.raises(UsageError, match="no run directory"):
        watch("nowhere")


class Undrawn(gymnasium.Env):
    """Its constructor knows no render mode."""

    observation_space, action_space = gymnasium.spaces.Box(-9, 9, (2,)), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.float32([9, -9]), {}

    def step(self, action):
        return np.zeros(2, np.float32), 1.0, True, False, {}


class DrawsNone(Undrawn):
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def render(self):
        return None


@pytest.mark.parametrize("kind", [Undrawn, DrawsNone])
def test_an_environment_without_pictures_is_drawn_by_its_observations(kind):
    gymnasium.register("box/Undrawn-v0", entry_point=kind)
    try:
        stage = set_stage("gym:box/Undrawn-v0")
        film, (episode,) = record(stage, lambda observation, key: 0, "bars")
    finally:
        del gymnasium.registry["box/Undrawn-v0"]
    assert (episode.episode_return, episode.length, len(film.frames)) == (1, 1, 2)


def test_bars_point_up_for_positive_numbers():
    blue = observation_picture(np.array([5.0, -5.0, 0.0]))[..., 0] == 60
    assert blue[:80, 12:22].any() and not blue[82:, 12:22].any()
    assert blue[82:, 24:34].any() and not blue[:80, 24:34].any()
    assert blue[:, 36:46].sum() == 10  # 0 is the middle line alone
