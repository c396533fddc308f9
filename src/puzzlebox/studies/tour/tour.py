"""``puzzlebox tour``: the whole story on this machine, chapter by chapter, ending in one report page.

Every figure, and every sentence with a number in it, comes from what was just computed. A chapter that fails, or whose
claims do not hold, stays on the page as failed, and the tour ends with an error.
"""

from __future__ import annotations

import importlib
import shutil
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from puzzlebox.errors import Interrupted, PuzzleboxError, UsageError
from puzzlebox.pictures.page import Section, Tile, holds, write_page
from puzzlebox.runs.directory import write_json, writing
from puzzlebox.scale import backend
from puzzlebox.studies.tour.chapter import Chapter, Context

# name of the function -> (its module in this folder, the chapter's title)
CHAPTERS = {
    "robot": ("robot", "A maze with known rules, solved exactly"),
    "learning": ("learning", "The same maze, learned by trial and error"),
    "toy": ("toy", "One number in the rewards changes the best policy"),
    "bandits": ("bandits", "How much exploring is right?"),
    "tasks": ("tasks", "Real tasks: FrozenLake and Taxi from Gymnasium"),
    "cartpole": ("cartpole", "From tables to networks: PPO balances a pole"),
    "rewards": ("rewards", "What is paid is what is done: one video game, four rewards"),
    "planning": ("planning", "Planning: a game learned from nothing to perfect play"),
    "language": ("language", "A language model is a policy: RLHF in four phases, and a verifier"),
}
LONG = ("rewards", "planning", "language")  # chapters that the quick tour leaves out, unless they are named
MARK = ".puzzlebox-tour"  # lies in a folder that a tour made, so that the next one may replace it


def tour(quick: bool = False, out: str | Path = "tour", chapters: tuple[str, ...] = ()) -> dict[str, Any]:
    """Runs every chapter (or those named) and writes ``index.html`` and ``summary.json`` into the folder ``out``.

    ``quick`` does with fewer episodes where that changes no conclusion. A folder that an earlier tour made is replaced.
    Raises UsageError for a folder that holds something else, and PuzzleboxError where a chapter failed.
    """
    chosen = choose(chapters, quick)
    folder = prepare_folder(Path(out))
    backend.prepare()
    console = Console(stderr=True, highlight=False)
    began = time.perf_counter()
    sections, tiles, record = [], list[Tile](), dict[str, Any]()
    for number, name in enumerate(chosen, 1):
        title = CHAPTERS[name][1]
        console.print(f"[bold cyan]{number}/{len(chosen)}[/] [bold]{title}[/]")
        section, chapter = run_chapter(name, folder / name, quick, console)
        sections.append(section)
        tiles += chapter.tiles if chapter else []
        record[name] = {"seconds": round(section.seconds, 2), "holds": holds(section)}
        record[name] |= {"figures": chapter.figures, "checks": [c._asdict() for c in section.checks]} if chapter else {}
        record[name] |= {"error": section.error} if section.error else {}
        write_report(folder, sections, tiles, time.perf_counter() - began, quick)
    seconds = time.perf_counter() - began
    result = {
        "page": str(folder / "index.html"),
        "seconds": round(seconds, 2),
        "quick": quick,
        "chapters": record,
        "versions": backend.versions(),
        "hardware": backend.hardware(),
    }
    write_json(folder / "summary.json", result)
    console.print(f"[bold]{seconds:.0f} s[/] in all. The report: [bold]{folder / 'index.html'}[/]", soft_wrap=True)
    failed = [name for name, entry in record.items() if not entry["holds"]]
    if failed:
        count = f"{len(failed)} of {len(chosen)} chapters failed" if len(failed) > 1 else "one chapter failed"
        raise PuzzleboxError(f"{count}: {'; '.join(reason(n, record[n]) for n in failed)}; see {folder / 'index.html'}")
    return result


def choose(chapters: tuple[str, ...], quick: bool) -> list[str]:
    """The chapters asked for, in the tour's order; the quick one has no long chapters by itself.

    Raises UsageError for one that does not exist.
    """
    for name in chapters:
        if name not in CHAPTERS:
            raise UsageError(f"there is no chapter '{name}'; there are: {', '.join(CHAPTERS)}")
    usual = [name for name in CHAPTERS if not (quick and name in LONG)]
    return [name for name in CHAPTERS if name in (chapters or usual)]


def prepare_folder(folder: Path) -> Path:
    """An empty folder to write into. Raises UsageError where something lies there that no tour made."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; choose another --out")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise UsageError(
                f"{folder} holds something that no tour made ({next(folder.iterdir()).name}); choose another --out"
            )
        for name in (*CHAPTERS, "index.html", "summary.json"):
            target = folder / name
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).write_text("Made by puzzlebox tour; the next tour replaces it.\n")
    return folder


def run_chapter(name: str, folder: Path, quick: bool, console: Console) -> tuple[Section, Chapter | None]:
    """One chapter, timed; what goes wrong inside becomes part of its section."""
    module, title = CHAPTERS[name]
    folder.mkdir()
    began = time.perf_counter()
    context = Context(folder, quick, lambda text: tell(console, "·", f"{text} …", "dim"))
    try:
        chapter: Chapter = getattr(importlib.import_module(f"puzzlebox.studies.tour.{module}"), name)(context)
    except Interrupted:
        raise
    except Exception as error:
        seconds = time.perf_counter() - began
        kind = "" if isinstance(error, PuzzleboxError) else f"{type(error).__name__}: "
        tell(console, "✗", f"{kind}{error}", "bold red")
        return Section(name, title, [], [], "", [], seconds, f"{kind}{error}"), None
    seconds = time.perf_counter() - began
    tell(console, " ", chapter.headline)
    for check in chapter.checks:
        tell(console, "✓" if check.holds else "✗", check.claim, "green" if check.holds else "bold red")
    tell(console, " ", f"{seconds:.1f} s", "dim")
    return Section(name, title, chapter.blocks, chapter.checks, chapter.protocol, chapter.commands, seconds), chapter


def tell(console: Console, mark: str, words: str, style: str = "") -> None:
    """A marked line; on a terminal it wraps under its own beginning."""
    if not console.is_terminal:
        console.print(f"  {mark} {words}", markup=False, soft_wrap=True)
        return
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(" ", Text(mark, style), Text(words, "" if style in ("green", "bold red") else style))
    console.print(line)


def write_report(folder: Path, sections: list[Section], tiles: list[Tile], seconds: float, quick: bool) -> None:
    """The page as far as the tour has come."""
    claims = [check.holds for section in sections for check in section.checks]
    failed = [section.title for section in sections if not holds(section)]
    lead = [
        "An agent acts, is rewarded, and learns. This page follows that one idea from a maze that can be solved by "
        "hand to a neural network that balances a pole, a player that plans and does not lose, and a language model "
        "that learns what is right.",
        f"Everything on it was computed on this machine, in {seconds:.0f} seconds: {sum(claims)} of {len(claims)} "
        f"claims hold. Every picture says how it was made and which command makes it again.",
    ]
    lead += [f"Failed: {', '.join(failed)}. See there."] if failed else []
    foot = [
        backend.described(),
        f"Made by puzzlebox tour{' --quick' if quick else ''} on {time.strftime('%Y-%m-%d at %H:%M')}. "
        "The figures as data: summary.json beside this page; the runs lie in the chapters' folders.",
    ]
    with writing(folder / "index.html"):
        write_page(folder / "index.html", "From a maze to a language model", lead, tiles, sections, foot)


def reason(name: str, entry: dict[str, Any]) -> str:
    """Why a chapter failed, in a line."""
    broken = [check["claim"] for check in entry.get("checks", []) if not check["holds"]]
    return f"{name} ({entry.get('error') or 'does not hold: ' + ' and '.join(broken)})"
