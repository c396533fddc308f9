"""Makes the pictures of the documentation again: ``python docs/make_figures.py [PAGE ...]``, or ``make figures``.

A page is its own recipe: its commands are run as written, in an empty folder, and every line

    <!-- picture: runs/ppo/learning_curve.png -->

names the file that becomes the picture on the next line.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from puzzlebox.cli import main

DOCS = Path(__file__).resolve().parent
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"<!-- picture: (\S+) -->\n!\[[^\]]*\]\(([^)]+)\)")
COLOURS, WIDTH = 96, 900


def commands(markdown: str) -> list[list[str]]:
    """The ``puzzlebox`` commands of a page's shell blocks, each as its arguments."""
    lines = [line for block in BLOCK.findall(markdown) for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("puzzlebox ")]


def make(page: Path) -> None:
    """Runs the commands of ``page`` and replaces its pictures."""
    markdown = page.read_text(encoding="utf-8")
    pictures = PICTURE.findall(markdown)
    if not pictures:
        return
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for argv in commands(markdown):
            if code := main(argv):
                sys.exit(f"{page.name}: puzzlebox {shlex.join(argv)} ended with {code}")
        for source, target in pictures:
            shrink(Path(source), page.parent / target)
    print(f"{page.stem}: {len(pictures)} pictures in {time.perf_counter() - started:.0f} s", file=sys.stderr)


def shrink(source: Path, target: Path) -> None:
    """Copies a PNG with fewer pixels and colours, which curves do not need."""
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    target.parent.mkdir(exist_ok=True)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    wanted = sys.argv[1:]
    for path in sorted(DOCS.rglob("*.md")):
        if not wanted or path.stem in wanted:
            make(path)
