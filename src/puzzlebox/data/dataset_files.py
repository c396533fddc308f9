"""Reads data files into dictionaries, one a row, each with its file and line for messages to the user.

JSONL, JSON, parquet, Arrow and text files, and the directories that Hugging Face ``datasets`` saves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from puzzlebox.errors import UsageError, missing_extra

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".txt")
Record = tuple[str, dict[str, Any] | UsageError]  # the source, such as "rows.jsonl, line 3", and the row or its error


def read_records(path: Path) -> Iterator[Record]:
    """Every row with its source. A row that cannot be read is yielded as the error that says why, not raised.

    Raises ``UsageError`` where nothing of a file can be read.
    """
    for file in _files(path):
        if file.suffix in (".jsonl", ".ndjson"):
            yield from _jsonl(file, read_utf8(file))
        elif file.suffix == ".json":
            text = read_utf8(file)
            # Many files called .json hold JSON lines.
            yield from _json(file, text) if text.lstrip().startswith("[") else _jsonl(file, text)
        elif file.suffix == ".txt":
            yield str(file), {"text": read_utf8(file)}
        else:
            yield from _table(file)


def read_utf8(path: Path) -> str:
    """The file's text; ``UsageError`` where it is missing or not UTF-8."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")  # without the byte order mark that some editors write
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; convert the file, for instance with "
            f"iconv -f latin1 -t utf-8"
        ) from None


def shown(value: Any) -> str:
    """The value as it stands in an error message: at most 60 characters."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _files(path: Path) -> list[Path]:
    """The files that make up one table; raises UsageError where ``path`` is none, or several tables."""
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise UsageError(f"{path} is of no known kind; the name must end in {', '.join(SUFFIXES)}")
        return [path]
    if not path.is_dir():
        raise UsageError(f"there is no file {path}")
    if (path / "dataset_dict.json").is_file():
        splits = _object(path / "dataset_dict.json").get("splits") or ["train"]
        if len(splits) == 1:
            return _files(path / splits[0])
        raise UsageError(
            f"{path} holds the splits {', '.join(splits)}; name one, such as {path / (splits or ['train'])[0]}"
        )
    if (path / "state.json").is_file():
        return [path / part["filename"] for part in _object(path / "state.json").get("_data_files", [])]
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    if not files:
        raise UsageError(f"{path} holds no data; files must end in {', '.join(SUFFIXES)}")
    # Parts of one table belong together; train and test do not.
    if len({(re.sub(r"-\d+-of-\d+$", "", file.stem), file.suffix) for file in files}) > 1:
        names = ", ".join(file.name for file in files[:5])
        raise UsageError(f"{path} holds several data files ({names}); name one, such as {files[0]}")
    return files


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(read_utf8(path))
    except ValueError as error:
        raise UsageError(f"{path} is broken: {error}; copy the directory again") from None
    return value if isinstance(value, dict) else {}


def _jsonl(path: Path, text: str) -> Iterator[Record]:
    # Only \n ends a line: str.splitlines would also cut at characters that may stand inside a JSON text.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            source = f"{path}, line {number}"
            try:
                yield source, _row(source, json.loads(line))
            except (ValueError, RecursionError) as error:
                where = f" (column {error.colno}: {error.msg})" if isinstance(error, json.JSONDecodeError) else ""
                yield source, UsageError(f"{source}: a JSON object was expected, found {shown(line)}{where}")


def _json(path: Path, text: str) -> Iterator[Record]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}: broken JSON ({error.msg}, column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: broken JSON ({error})") from None
    for number, value in enumerate(values, 1):
        source = f"{path}, row {number}"
        yield source, _row(source, value)


def _row(source: str, value: Any) -> dict[str, Any] | UsageError:
    if isinstance(value, dict):
        return value
    return UsageError(f"{source}: a JSON object was expected, found {shown(value)}")


def _table(path: Path) -> Iterator[Record]:
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ImportError:
        raise missing_extra("pyarrow", "data") from None
    try:
        if path.suffix == ".parquet":
            table = parquet.read_table(path)
        else:
            with pyarrow.memory_map(str(path)) as source:
                table = _arrow(ipc, source)
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"{path} is broken: {' '.join(str(error).split())}; copy the file again") from None
    for number, record in enumerate(table.to_pylist(), 1):
        yield f"{path}, row {number}", record


def _arrow(ipc: Any, source: Any) -> Any:
    """``datasets`` writes streams; other programs also write files."""
    try:
        return ipc.open_stream(source).read_all()
    except ValueError:
        source.seek(0)
        return ipc.open_file(source).read_all()
