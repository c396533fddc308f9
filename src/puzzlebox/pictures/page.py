"""A report as one HTML file that needs nothing else: pictures and films are inside it, no address is outside.

Text may hold `code` between backticks; everything else is shown as it is written.
"""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path
from typing import NamedTuple

from puzzlebox.pictures.page_style import STYLE

KINDS = {".png": "image/png", ".gif": "image/gif", ".svg": "image/svg+xml"}


class Picture(NamedTuple):
    """An image file. ``still`` stands for a film on paper and for readers who want nothing to move."""

    file: Path
    alt: str
    caption: str = ""
    still: Path | None = None
    width: int = 0  # CSS pixels at most; 0: as wide as the text


class Row(NamedTuple):
    """Pictures side by side, where the screen has room."""

    pictures: list[Picture]


class Table(NamedTuple):
    """A table; text may hold `code`."""

    head: list[str]
    rows: list[list[str]]
    caption: str = ""


class Equation(NamedTuple):
    """A formula as plain text, and what it means."""

    formula: str
    meaning: str = ""


class Check(NamedTuple):
    """A claim of the chapter, held against the results."""

    claim: str
    holds: bool


class Section(NamedTuple):
    """One chapter as it is shown; ``error`` tells why it could not be finished."""

    name: str
    title: str
    blocks: list[str | Equation | Picture | Row | Table]
    checks: list[Check]
    protocol: str
    commands: list[str]
    seconds: float
    error: str = ""


class Tile(NamedTuple):
    """A figure in large type."""

    figure: str
    meaning: str


def write_page(
    path: Path, title: str, lead: list[str], tiles: list[Tile], sections: list[Section], foot: list[str]
) -> Path:
    """Writes the page as ``path`` in one step; returns it."""
    contents = "".join(f'<li><a href="#{s.name}">{text(s.title)}</a>{"" if holds(s) else " ✗"}</li>' for s in sections)
    document = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{text(title)}</h1>
{"".join(f'<p class="lead">{text(p)}</p>' for p in lead)}
<ul class="tiles">{"".join(f"<li><b>{text(t.figure)}</b><span>{text(t.meaning)}</span></li>" for t in tiles)}</ul>
<nav aria-label="Chapters"><ol>{contents}</ol></nav>
</header>
<main>
{"".join(_section(number, section) for number, section in enumerate(sections, 1))}
</main>
<footer>{"".join(f"<p>{text(p)}</p>" for p in foot)}</footer>
</body>
</html>
"""
    partial = path.with_suffix(".partial")
    partial.write_text(document, encoding="utf-8")
    return partial.replace(path)


def holds(section: Section) -> bool:
    """Whether the chapter was finished and all its claims hold."""
    return not section.error and all(check.holds for check in section.checks)


def text(words: str) -> str:
    """Plain text as HTML, with `code` between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(words))


def data_uri(file: Path) -> str:
    """The file's bytes as an address that can stand inside the page."""
    return f"data:{KINDS[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"


def _section(number: int, section: Section) -> str:
    parts = [f'<h2><span class="number">{number}</span> {text(section.title)}</h2>']
    parts += [_block(block) for block in section.blocks]
    if section.error:
        parts.append(f'<p class="error"><b>This chapter could not be finished.</b> {text(section.error)}</p>')
    if section.checks:
        parts.append(f'<ul class="checks" aria-label="What was checked">{"".join(map(_check, section.checks))}</ul>')
    if section.protocol:
        parts.append(
            f'<aside class="protocol"><p><b>How it was measured.</b> {text(section.protocol)} '
            f"This chapter took {section.seconds:.1f} s.</p>"
            f"<p><b>To repeat it:</b></p><pre><code>{html.escape(chr(10).join(section.commands))}</code></pre></aside>"
        )
    return f'<section id="{section.name}">{"".join(parts)}</section>\n'


def _block(block: str | Equation | Picture | Row | Table) -> str:
    if isinstance(block, str):
        return f"<p>{text(block)}</p>"
    if isinstance(block, Equation):
        meaning = f"<small>{text(block.meaning)}</small>" if block.meaning else ""
        return f'<div class="equation"><span>{html.escape(block.formula)}</span>{meaning}</div>'
    if isinstance(block, Picture):
        return _picture(block)
    if isinstance(block, Row):
        return f'<div class="row">{"".join(map(_picture, block.pictures))}</div>'
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in block.head)
    rows = "".join(
        f'<tr><th scope="row">{text(row[0])}</th>{"".join(f"<td>{text(cell)}</td>" for cell in row[1:])}</tr>'
        for row in block.rows
    )
    caption = f"<caption>{text(block.caption)}</caption>" if block.caption else ""
    return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _picture(picture: Picture) -> str:
    width = f' style="width:min(100%,{picture.width}px)"' if picture.width else ""
    image = f'<img src="{data_uri(picture.file)}" alt="{html.escape(picture.alt)}"{width}>'
    if picture.still is not None:  # the style shows one of the two
        image = f'<div class="film">{image}</div><div class="still">{_still(picture)}</div>'
    caption = f"<figcaption>{text(picture.caption)}</figcaption>" if picture.caption else ""
    return f"<figure>{image}{caption}</figure>"


def _still(picture: Picture) -> str:
    assert picture.still is not None
    return f'<img src="{data_uri(picture.still)}" alt="{html.escape(picture.alt)}, four moments">'


def _check(check: Check) -> str:
    mark, word = ("✓", "holds") if check.holds else ("✗", "does not hold")
    shown = f'<span title="{word}">{mark}</span><div>{text(check.claim)}</div>'
    return f'<li class="{"yes" if check.holds else "no"}">{shown}</li>'
