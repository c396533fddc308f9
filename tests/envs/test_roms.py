"""ROMs are known by their SHA-1: with the one that stable-retro ships, and with files that only look like Sonic 2."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("stable_retro")

from puzzlebox.cli import main
from puzzlebox.envs import roms
from puzzlebox.envs.retro_games import library

AIRSTRIKER = "Airstriker-Genesis-v0"
NEEDED = (
    "SonicTheHedgehog2-Genesis-v0 needs Sonic The Hedgehog 2 (World) (Rev A), 1,048,576 bytes, "
    "SHA-1 8bca5dcef1af3e00098666fd892dc1c2a76333f9"
)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of stable-retro's that knows one game and has none."""
    store = tmp_path / "store"
    (store / AIRSTRIKER).mkdir(parents=True)
    known = {hashlib.sha1(rom()).hexdigest(): (AIRSTRIKER, ".md", str(store))}
    monkeypatch.setattr(library(), "get_known_hashes", lambda: known)
    monkeypatch.setattr(roms, "has_rom", lambda game: False)
    return store


def rom():
    return Path(library().get_romfile_path(AIRSTRIKER)).read_bytes()


def named(title, serial):
    """A file with the header of a Mega Drive game and nothing else."""
    content = bytearray(2048)
    content[0x100:0x110] = b"SEGA MEGA DRIVE "
    content[0x150:0x180] = title.encode().ljust(48)
    content[0x180:0x18E] = serial.encode().ljust(14)
    return bytes(content)


def test_files_too_large_for_a_rom_are_passed_over(store, tmp_path, capsys):
    """stable-retro reads 32 MiB and refuses a byte more."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, size in (("film.bin", 2**25 + 1), ("largest.bin", 2**25)):
        with (folder / name).open("wb") as file:
            file.truncate(size)
    (folder / "good.bin").write_bytes(rom())
    assert main(["roms", "import", str(folder), "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert [file["file"] for file in out["imported"] + out["others"]] == ["good.bin", "largest.bin"]


def test_a_damaged_zip_is_told_of(store, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    with zipfile.ZipFile(folder / "roms.zip", "w") as archive:
        archive.writestr("sonic.bin", b"0123456789" * 50)
    packed = (folder / "roms.zip").read_bytes()
    (folder / "roms.zip").write_bytes(packed.replace(b"01234567890123", b"01234567890124", 1))
    assert main(["roms", "import", str(folder)]) == 1
    error = capsys.readouterr().err
    assert "roms.zip: Bad CRC-32 for file 'sonic.bin'; unpack it yourself" in error
    assert "Traceback" not in error


def test_a_known_rom_is_imported_from_a_folder(store, tmp_path, capsys):
    folder = tmp_path / "mine" / "deep"
    folder.mkdir(parents=True)
    (folder / "whatever.bin").write_bytes(rom())
    (folder / "readme.txt").write_text("hello")
    assert main(["roms", "import", str(tmp_path / "mine"), "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    digest = hashlib.sha1(rom()).hexdigest()
    assert out["imported"] == [{"game": AIRSTRIKER, "file": "deep/whatever.bin", "sha1": digest}]
    assert [other["file"] for other in out["others"]] == ["deep/readme.txt"]
    assert f"SonicTheHedgehog2-Genesis-v0 needs {out['missing']['SonicTheHedgehog2-Genesis-v0']}" == NEEDED
    assert (store / AIRSTRIKER / "rom.md").read_bytes() == rom()
    assert main(["roms", "import", str(tmp_path / "mine")]) == 0
    assert f"imported {AIRSTRIKER} from deep/whatever.bin; play it: retro:{AIRSTRIKER}" in capsys.readouterr().out


def test_and_from_a_zip(store, tmp_path):
    with zipfile.ZipFile(tmp_path / "games.zip", "w") as archive:
        archive.writestr("inner/game.md", rom())
    figures = roms.import_roms(tmp_path)
    assert [found["file"] for found in figures["imported"]] == ["games.zip/inner/game.md"]
    assert (store / AIRSTRIKER / "rom.md").read_bytes() == rom()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("sonic2.bin", named("SONIC THE HEDGEHOG 2", "GM 00001051-00"), "(SONIC THE HEDGEHOG 2, GM 00001051-00)"),
        ("sonic2.smd", bytes(512 + 0x4000), "(perhaps an interleaved copy (.smd), which has to be converted"),
    ],
)
def test_a_wrong_rom_is_named_with_the_one_that_is_needed(store, tmp_path, capsys, name, content, said):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / name).write_bytes(content)
    assert main(["roms", "import", str(mine), "--json"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.strip().endswith(NEEDED)
    assert f"(1 file looked at; {name} has SHA-1 {roms.sha1(name, content)} {said}" in err


def test_mistakes_are_one_line(store, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["roms", "import", str(tmp_path / "empty")]) == 1
    assert f"no ROM that stable-retro knows is in {tmp_path / 'empty'} (0 files looked at); " in capsys.readouterr().err
    assert main(["roms", "import", str(tmp_path / "nowhere")]) == 2
    assert "there is no directory" in capsys.readouterr().err
    assert main(["roms", "export", str(tmp_path)]) == 2
    assert main(["roms", "import"]) == 2


def test_the_sum_of_a_nes_file_is_without_its_header():
    body = bytes(range(256)) * 4
    assert roms.sha1("game.nes", b"NES\x1a" + bytes(12) + body) == hashlib.sha1(body).hexdigest()
    assert roms.sha1("game.bin", body) == hashlib.sha1(io.BytesIO(body).read()).hexdigest()
