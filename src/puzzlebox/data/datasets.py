"""Data sets for language models: JSONL, JSON, parquet, and directories that Hugging Face ``datasets`` saved.

The columns are TRL's, a text each or a list of ``{"role": ..., "content": ...}``:

| kind | columns |
|---|---|
| text | ``text``, or ``messages`` |
| prompt | ``prompt`` |
| completion | ``prompt, completion`` |
| preference | ``prompt, chosen, rejected``, or ``chosen, rejected`` that begin alike; ``margin`` if there is one |
| label | ``prompt, completion, label`` (true: wanted) |
| ranking | ``prompt, completions``, the best first, or with ``ranking``: each completion's place, 1 the best |

Departures: a common beginning of two texts is cut at a space, so that no word is torn; rankings are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from puzzlebox.data import dataset_files
from puzzlebox.data.dataset_rows import COLUMNS, READERS, BadRow, Row
from puzzlebox.errors import UsageError

WAY_OUT = "mend the row, or leave such rows out with --skip-bad"


class Dataset(NamedTuple):
    """``rows`` of one ``kind``; ``skipped``: one sentence for each row that was left out."""

    kind: str
    rows: tuple[Row, ...]
    skipped: tuple[str, ...] = ()


def read(path: str | Path, kind: str | Sequence[str] = tuple(COLUMNS), skip_bad: bool = False) -> Dataset:
    """The data at ``path`` as rows of ``kind``, or of the first of several kinds whose columns are there.

    Without ``kind`` it is the kind that needs the most columns, as in ``kind_of``.
    Raises ``UsageError`` for a file that cannot be read, missing columns, no rows, and the first broken row; with
    ``skip_bad`` broken rows are left out and listed in ``skipped``, unless all are broken.
    """
    kinds = [kind] if isinstance(kind, str) else list(kind)
    records, skipped = [], []
    for source, record in dataset_files.read_records(Path(path)):
        if isinstance(record, dict):
            records.append((source, record))
        elif skip_bad:
            skipped.append(str(record))
        else:
            raise UsageError(f"{record}; {WAY_OUT}")
    if not records:
        raise UsageError(f"{path} holds no rows" + (f" that can be read; the first: {skipped[0]}" if skipped else ""))
    there = list(dict.fromkeys(name for _, record in records for name in record))
    kind, columns = _choose(path, kinds, there)
    rows = []
    for source, record in records:
        try:
            rows.append(READERS[kind](source, record, columns))
        except BadRow as error:
            message = f"{source}, {error}"
            if not skip_bad:
                raise UsageError(f"{message}; {WAY_OUT}") from None
            skipped.append(message)
    if not rows:
        raise UsageError(f"all {len(skipped)} rows of {path} are broken; the first: {skipped[0]}")
    return Dataset(kind, tuple(rows), tuple(skipped))


def kind_of(columns: Iterable[str]) -> str | None:
    """The kind of data with these columns, the most specific one; None where they are of no kind."""
    there = set(columns)
    return next((kind for kind, choices in COLUMNS.items() if any(there >= set(c) for c in choices)), None)


def ranking_pairs(row: Row) -> Iterator[Row]:
    """The preference rows of a ranking: every better completion over every worse one; ties give none.

    A ranking of n completions without ties gives n (n − 1) / 2 rows, as in Ouyang et al. 2022.
    """
    ranked = list(zip(row.completions or (), row.places or (), strict=True))
    for index, (better, place) in enumerate(ranked):
        for worse, other in ranked[index + 1 :]:
            if place < other:
                yield Row(row.source, prompt=row.prompt, chosen=better, rejected=worse, data=row.data)


def read_text(path: str | Path) -> tuple[str, ...]:
    """The documents of plain text at ``path``: one ``.txt`` file, or all of a directory, by name."""
    path = Path(path)
    files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"there are no .txt files in {path}")
    texts = tuple(text for text in map(dataset_files.read_utf8, files) if text.strip())
    if not texts:
        raise UsageError(f"{path} holds no text")
    return texts


def _choose(path: str | Path, kinds: Sequence[str], there: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    for kind in kinds:
        for columns in COLUMNS[kind]:
            if set(columns) <= set(there):
                return kind, columns
    choices = [", ".join(columns) for kind in kinds for columns in COLUMNS[kind]]
    if len(kinds) > 2:
        raise UsageError(f"{path} lacks columns: there are {', '.join(there)}, and needed are {'; or '.join(choices)}")
    wanted, other = " or ".join(choices), kind_of(there)
    looks = f", which is {other} data" if other else ""
    raise UsageError(
        f"{path} lacks columns: {' or '.join(kinds)} data has {wanted}; there are {', '.join(there)}{looks}"
    )
