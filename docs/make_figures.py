"""Makes the pictures of the documentation again: ``python docs/make_figures.py [PAGE ...]``, or ``make figures``.

A page is its own recipe: every line

    <!-- picture: runs/ppo/learning_curve.png -->

names the file that becomes the picture on the next line, and the commands of its section up to there make it: they are
run as written, in an empty folder. In the README it is the table of figures that is written again, each row from its
own command.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from puzzlebox.cli import main

DOCS = Path(__file__).resolve().parent
README = DOCS.parent / "README.md"
SECTION = re.compile(r"^(?=## )", re.MULTILINE)
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"<!-- picture: (\S+) -->\n!\[[^\]]*\]\(([^)]+)\)")
ROW = re.compile(r"^\| `puzzlebox ([^`]+)` \|.*$", re.MULTILINE)
COLOURS, WIDTH = 96, 900


def commands(markdown: str) -> list[list[str]]:
    """The ``puzzlebox`` commands of a page's shell blocks, each as its arguments."""
    lines = [line for block in BLOCK.findall(markdown) for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("puzzlebox ")]


def make(page: Path) -> None:
    """Runs the commands of every section of ``page`` that has pictures, as far as they need, and replaces these."""
    for section in SECTION.split(page.read_text(encoding="utf-8")):
        pictures = list(PICTURE.finditer(section))
        if not pictures:
            continue
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            for argv in commands(section[: pictures[-1].start()]):
                if code := main(argv):
                    sys.exit(f"{page.name}: puzzlebox {shlex.join(argv)} ended with {code}")
            for source, target in (found.groups() for found in pictures):
                shrink(Path(source), page.parent / target)
        print(f"{page.stem}: {len(pictures)} pictures in {time.perf_counter() - started:.0f} s", file=sys.stderr)


def measure(found: re.Match[str]) -> str:
    """The row of the README's table with what its command gives now."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        if code := main([*shlex.split(found[1]), "--run", str(run)]):
            sys.exit(f"README: puzzlebox {found[1]} ended with {code}")
        figures = json.loads((run / "summary.json").read_text())
    low, high = figures["return_ci"]
    score = f"{figures['return_iqm']:.1f} ({low:.1f} to {high:.1f})".replace("-", "−")
    return f"| `puzzlebox {found[1]}` | {score} | {figures['seconds']:.1f} |"


def shrink(source: Path, target: Path) -> None:
    """Copies a PNG with fewer pixels and colours, which curves do not need."""
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    target.parent.mkdir(exist_ok=True)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    wanted = sys.argv[1:]
    if unknown := set(wanted) - {path.stem for path in [README, *DOCS.rglob("*.md")]}:
        sys.exit(f"no such page: {', '.join(sorted(unknown))}; a page is named without its folder and .md")
    for path in sorted(DOCS.rglob("*.md")):
        if not wanted or path.stem in wanted:
            make(path)
    if not wanted or README.stem in wanted:
        README.write_text(ROW.sub(measure, README.read_text(encoding="utf-8")), encoding="utf-8")
