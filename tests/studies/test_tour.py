"""The tour: its page stands alone, its helpers are exact, and nothing that fails is hidden."""

import importlib
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from puzzlebox import cli
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.pictures.page import Check, Equation, Picture, Row, Section, Table, Tile, holds, write_page
from puzzlebox.runs.configure import configure
from puzzlebox.studies.tour import tour as tours
from puzzlebox.studies.tour.cartpole import common_steps
from puzzlebox.studies.tour.chapter import Chapter, Context, free_cells, signed, tiny
from puzzlebox.studies.tour.learning import learned_model
from puzzlebox.studies.tour.tasks import expected_return, play_policy
from puzzlebox.studies.tour.tour import tour
from puzzlebox.types import MDP


class Reader(HTMLParser):
    """Collects what a browser would fetch, ids and links, and checks that tags close."""

    VOID = ("meta", "img", "br", "link", "source")

    def __init__(self, document):
        super().__init__()
        self.fetched, self.ids, self.links, self.open, self.seen = [], [], [], [], ""
        self.feed(document)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.fetched += [named[key] for key in ("src", "srcset", "data") if key in named]
        self.links += [named["href"]] if "href" in named else []
        self.ids += [named["id"]] if "id" in named else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.seen += data


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The tour's exact chapters, for real."""
    folder = tmp_path_factory.mktemp("tour") / "report"
    return folder, tour(quick=True, out=folder, chapters=("toy", "robot"))


def stand_in(monkeypatch, name, chapter):
    """Replaces all chapters by one, a function."""
    monkeypatch.setattr(tours, "CHAPTERS", {name: ("stand_in", f"The {name}")})
    monkeypatch.setattr(tours.importlib, "import_module", lambda module: SimpleNamespace(**{name: chapter}))


def test_a_short_tour_writes_a_page_that_needs_nothing_else(short):
    folder, result = short
    document = (folder / "index.html").read_text(encoding="utf-8")
    page = Reader(document)
    assert list(result["chapters"]) == ["robot", "toy"] == page.ids
    assert page.fetched and all(source.startswith("data:image/") for source in page.fetched)
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not re.search(r"https?://|url\(|@import|<script", document)
    assert "prefers-color-scheme: dark" in document and "@media print" in document
    assert result["page"] == str(folder / "index.html")
    assert json.loads((folder / "summary.json").read_text()) == json.loads(json.dumps(result))


def test_its_figures_are_the_lectures(short):
    _, result = short
    robot, toy = (result["chapters"][name]["figures"] for name in ("robot", "toy"))
    # Eight moves to the goal, seven of them at −1; five at −1 into the hole.
    assert [path["return"] for path in robot["paths"]] == [100 - 7, 100 - 7, -50 - 5]
    assert [path["optimal"] for path in robot["paths"]] == [True, True, False]
    assert robot["best_return_slippery"] > max(path["return_slippery"] for path in robot["paths"])
    # From the corner 11 the −1 is one move away (north) and the +1 four (west, north, north, east).
    # At −2 per step: −1 against −2 − 2 − 2 + 1 = −5. At −0.1: −1 against −0.1 − 0.1 − 0.1 + 1 = 0.7.
    assert toy["policies"][0][11] == 0 and toy["policies"][1][11] == 3
    assert toy["cells_without_a_common_best_move"] == [11]
    assert toy["losses_of_the_other_policy_there"] == pytest.approx([-1 - -5, 0.7 - -1])
    # In 6 and 10 the +1 is one move farther than the −1: at −2 a tie, at −0.1 none. Elsewhere nothing differs.
    assert toy["different_cells"] == [6, 10, 11]
    assert all(check["holds"] for chapter in result["chapters"].values() for check in chapter["checks"])


def test_every_command_on_the_page_is_one(short):
    folder, _ = short
    lines = re.findall(r"puzzlebox (?:solve|train|bandit|compare|watch) [^<\n]+", (folder / "index.html").read_text())
    assert len(lines) == 4
    for line in lines:
        cli.parse(line.split()[1:])


def test_a_second_tour_replaces_the_first_and_nothing_else(short, monkeypatch, tmp_path):
    stand_in(monkeypatch, "robot", lambda context: chapter([Check("it holds", True)]))
    folder = tmp_path / "out"
    tour(out=folder)
    (folder / "robot" / "old.png").touch()
    (folder / "notes.txt").write_text("mine")
    tour(out=folder)
    assert not (folder / "robot" / "old.png").exists() and (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("failing", "message"),
    [
        (lambda context: chapter([Check("two is three", False), Check("one is one", True)]), "does not hold: two is"),
        (lambda context: 1 / 0, "ZeroDivisionError"),
        (lambda context: (_ for _ in ()).throw(UsageError("no such [world]")), r"no such \[world\]"),
    ],
)
def test_a_chapter_that_fails_fails_the_tour_and_is_on_the_page(failing, message, monkeypatch, tmp_path, capsys):
    stand_in(monkeypatch, "robot", failing)
    with pytest.raises(PuzzleboxError, match=f"one chapter failed: robot .*{message}") as caught:
        tour(out=tmp_path / "out")
    assert caught.value.exit_code == 1
    assert "✗" in Reader((tmp_path / "out" / "index.html").read_text()).seen
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["chapters"]["robot"]["holds"] is False
    assert "✗" in capsys.readouterr().err


def test_ctrl_c_stops_the_tour(monkeypatch, tmp_path):
    def interrupted(context):
        raise tours.Interrupted("stopped at step 5")

    stand_in(monkeypatch, "robot", interrupted)
    with pytest.raises(tours.Interrupted):
        tour(out=tmp_path / "out")


def test_wrong_requests(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"holds something that no tour made \(thesis.tex\)"):
        tour(out=tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        tour(out=tmp_path / "thesis.tex")
    with pytest.raises(UsageError, match="there is no chapter 'chess'; there are: robot"):
        tour(out=tmp_path / "new", chapters=("chess",))
    assert not (tmp_path / "new").exists()


def test_all_chapters_can_be_found():
    for name, (module, _) in tours.CHAPTERS.items():
        assert callable(getattr(importlib.import_module(f"puzzlebox.studies.tour.{module}"), name))


def test_the_page_escapes_text_and_shows_every_block(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "dot.png")
    picture = Picture(tmp_path / "dot.png", 'a "dot"', "caption", still=tmp_path / "dot.png", width=90)
    blocks = ["a < b & `code`", Equation("V = max", "meaning"), Row([picture, picture]), Table(["head"], [["cell"]])]
    good = Section("good", "Good", blocks, [Check("1 < 2", True)], "protocol", ["puzzlebox list"], 1.0)
    bad = Section("bad", "Bad", [], [], "", [], 0.0, "it broke")
    path = write_page(tmp_path / "page.html", "T & U", ["lead"], [Tile("5", "five")], [good, bad], ["foot"])
    document = path.read_text()
    page = Reader(document)
    assert "a < b & code" in page.seen and "1 < 2" in page.seen and "<code>code</code>" in document
    for words in ("T & U", "lead", "five", "foot", "V = max", "cell", "caption", "protocol", "it broke"):
        assert words in page.seen
    assert len(page.fetched) == 4 and holds(good) and not holds(bad)
    assert [p.name for p in tmp_path.glob("*.partial")] == []


def test_expected_return_of_a_cut_episode_by_hand():
    # One state that pays 1 and ends with probability ½ at each step: Σ_{t<3} ½^t = 1.75.
    row = (np.zeros((1, 1, 2), int), np.full((1, 1, 2), 0.5), np.ones((1, 1, 2)), np.array([[[True, False]]]))
    assert expected_return(MDP(*row, np.ones(1)), np.zeros(1, int), 3) == 1.75


def test_play_in_gymnasium():
    sure = np.zeros(16, int)
    sure[[0, 1, 2, 6, 10, 14]] = [2, 2, 1, 1, 1, 2]  # east, east, south, south, south, east
    slippery = play_policy("FrozenLake-v1", sure, 200, seed=3)
    assert set(slippery) == {0.0, 1.0} and 0 < slippery.mean() < 0.2
    np.testing.assert_array_equal(slippery, play_policy("FrozenLake-v1", sure, 200, seed=3))


def test_the_learned_model_counts_what_is_remembered():
    # One state, two actions, memory 2: action 0 led to states 1, 0, 1 (the first is forgotten), action 1 was not tried.
    model = SimpleNamespace(
        visits=np.array([[[3, 0], [0, 0]]]), next_state=np.array([[[[1, 0], [1, 1]], [[0, 0]] * 2]])
    )
    visits, transition = learned_model(model)
    assert visits[0].tolist() == [3, 0]
    np.testing.assert_allclose(transition[0], [[0.5, 0.5], [0, 0]])


def test_small_helpers():
    assert [signed(x) for x in (-0.1, 3.0, -0.001, 100.0, 2.345)] == ["−0.1", "3", "0", "100", "2.35"]
    assert tiny(2.4e-7) == "2·10⁻⁷" and tiny(30) == "3·10¹"
    assert free_cells(("S#", "G.")).tolist() == [0, 3]


def test_contestants_train_for_equally_many_steps():
    steps = common_steps(("ppo", "reinforce"))
    assert 50_000 < steps <= 100_000
    for name in ("ppo", "reinforce"):
        assert configure(name, "CartPole-v1", 1, 0, {"steps": steps})["steps"] == steps


def chapter(checks):
    return Chapter("headline [with brackets]", ["text"], checks, "protocol", ["puzzlebox list"], {"figure": 1}, [])


def test_a_chapter_gets_a_folder_of_its_own(monkeypatch, tmp_path):
    seen = []

    def remember(context: Context):
        seen.append((context.folder.is_dir(), context.quick))
        context.note("a line [in brackets]")
        return chapter([])

    stand_in(monkeypatch, "robot", remember)
    tour(quick=True, out=tmp_path / "out")
    assert seen == [(True, True)]
