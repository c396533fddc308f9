"""The whole quick tour, for real: every claim on its page holds, and every command on it can be typed."""

import html
import importlib.util
import re

from puzzlebox import cli
from puzzlebox.studies.tour.tour import CHAPTERS, LONG, tour


def test_the_quick_tour(tmp_path):
    result = tour(quick=True, out=tmp_path / "tour")
    assert list(result["chapters"]) == [name for name in CHAPTERS if name not in LONG]
    assert all(chapter["holds"] and chapter["checks"] for chapter in result["chapters"].values())
    ppo = result["chapters"]["cartpole"]["figures"]["ppo"]
    assert ppo["seeds"] == 10 and ppo["return_iqm"] >= 475 and ppo["steps"] <= 100_000
    document = (tmp_path / "tour" / "index.html").read_text(encoding="utf-8")
    films = 3 if importlib.util.find_spec("pygame") else 2  # FrozenLake, CartPole, and Taxi where Gymnasium can draw it
    assert document.count("data:image/gif;base64,") == films
    assert not re.search(r"https?://", document)
    lines = re.findall(r"^puzzlebox .+$", html.unescape(re.sub(r"</?(code|pre)>", "\n", document)), re.MULTILINE)
    assert len(lines) > 15
    for line in lines:
        cli.parse(line.split()[1:])


def test_the_language_chapter(tmp_path):
    result = tour(out=tmp_path / "tour", chapters=("language",))
    assert result["chapters"]["language"]["holds"]


def test_the_planning_chapter(tmp_path):
    result = tour(out=tmp_path / "tour", chapters=("planning",))
    assert result["chapters"]["planning"]["holds"]
