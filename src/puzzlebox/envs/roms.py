"""ROMs that you own, for the console games: found by their SHA-1 and handed to stable-retro, which keeps them."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from puzzlebox.envs.retro_games import SONIC_2, has_rom, library, needed
from puzzlebox.errors import PuzzleboxError, UsageError

LARGEST = 32 * 2**20  # bytes; stable-retro reads nothing larger
TITLE, SERIAL = slice(0x150, 0x180), slice(0x180, 0x18E)  # in the header of a Mega Drive game
SMD_HEADER, SMD_BLOCK = 512, 0x4000


def import_roms(directory: str | Path) -> dict[str, Any]:
    """Imports every ROM below ``directory``, in zip files too, that stable-retro knows.

    Raises UsageError where there is no such directory, and PuzzleboxError where no file is a known ROM: it says which
    file Sonic 2 needs, and which of those found come close to it.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UsageError(f"there is no directory {directory}; give the one that your ROM files are in")
    known = library().get_known_hashes()
    imported, others = [], []
    for name, content in contents(directory):
        digest = sha1(name, content)
        if digest in known:
            hand_over(name, content)
            imported.append({"game": known[digest][0], "file": name, "sha1": digest})
        else:
            others.append({"file": name, "sha1": digest, "bytes": len(content), "title": title(content)})
    if not imported:
        seen = f"{len(others)} files" if len(others) != 1 else "1 file"
        raise PuzzleboxError(
            f"no ROM that stable-retro knows is in {directory} ({seen} looked at{nearest(others)}); "
            f"{SONIC_2} needs {needed(SONIC_2)}"
        )
    missing = {} if has_rom(SONIC_2) else {SONIC_2: needed(SONIC_2)}
    return {"directory": str(directory), "imported": imported, "others": others, "missing": missing}


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The same for a person."""
    out = [f"imported {rom['game']} from {rom['file']}; play it: retro:{rom['game']}" for rom in figures["imported"]]
    out += [f"unknown: {rom['file']}, SHA-1 {rom['sha1']}{_in_words(rom['title'])}" for rom in figures["others"]]
    return [*out, *(f"not there: {game} needs {file}" for game, file in figures["missing"].items())]


def contents(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file, also of those in zip files, up to the largest size that stable-retro reads."""
    for path in sorted(path for path in directory.rglob("*") if path.is_file() and path.stat().st_size <= LARGEST):
        name = str(path.relative_to(directory))
        try:
            content = path.read_bytes()
        except OSError as fault:
            raise PuzzleboxError(f"cannot read {path}: {fault.strerror}") from fault
        yield name, content
        if zipfile.is_zipfile(path):
            yield from unpacked(path, name)


def unpacked(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every file in a zip; raises PuzzleboxError for a zip that cannot be unpacked.

    Such a zip is damaged, has a password, or is packed by a method that Python does not know.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.is_dir() and entry.file_size <= LARGEST:
                    yield f"{name}/{entry.filename}", archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as fault:
        raise PuzzleboxError(f"cannot unpack {path}: {fault}; unpack it yourself, or move it elsewhere") from fault


def sha1(name: str, content: bytes) -> str:
    """The SHA-1 by which stable-retro knows a ROM, in hex; it leaves out the header that NES files have."""
    return library().groom_rom(name, io.BytesIO(content))[1]


def hand_over(name: str, content: bytes) -> None:
    """Has stable-retro import one ROM."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rom{Path(name).suffix}"
        path.write_bytes(content)
        try:
            library().merge(str(path))
        except OSError as fault:
            raise PuzzleboxError(
                f"stable-retro cannot store {name} in {library().path()}: {fault.strerror}; may you write there?"
            ) from fault


def title(content: bytes) -> str:
    """What a file seems to be: the title in the header of a Mega Drive game, or a hint; "" for anything else."""
    if content[0x100:0x104] == b"SEGA":
        words = [content[part].decode("ascii", "replace").split() for part in (TITLE, SERIAL)]
        return ", ".join(" ".join(part) for part in words)
    if len(content) > SMD_HEADER and len(content) % SMD_BLOCK == SMD_HEADER:
        return "perhaps an interleaved copy (.smd), which has to be converted to .bin first"
    return ""


def nearest(others: list[dict[str, Any]]) -> str:
    """The files, in words, that call themselves Sonic 2 or may be an interleaved copy of it."""
    near = [rom for rom in others if "HEDGEHOG 2" in rom["title"] or rom["title"].startswith("perhaps")]
    return "".join(f"; {rom['file']} has SHA-1 {rom['sha1']}{_in_words(rom['title'])}" for rom in near[:3])


def _in_words(title: str) -> str:
    return f" ({title})" if title else ""
