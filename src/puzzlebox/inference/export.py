"""What was trained, for others: models as Hugging Face directories, PEFT adapters and GGUF files; the weights alone of
one that plays; the metrics of a run as a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from puzzlebox.data.huggingface import save_decoder
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.runs.build import from_run, load_model
from puzzlebox.runs.directory import Run
from puzzlebox.runs.pretrained import is_run, read_config
from puzzlebox.runs.table import TABLES, save_table
from puzzlebox.runs.trained import save_weights

FORMATS = {
    "hf": "a Hugging Face directory (config.json, model.safetensors, tokenizer), adapters merged",
    "peft": "the adapter alone, of a run that trained one, as a PEFT directory",
    "gguf": "one GGUF file with model and tokenizer, adapters merged, for llama.cpp and what is built on it",
    "weights": "one agent of a run on a game, as a run directory with only what playing needs",
    "csv": "the metrics of a run as a tidy table",
    "parquet": "the same as Parquet (needs pyarrow)",
}
FILES = {"gguf": "model.gguf", "csv": "metrics.csv", "parquet": "metrics.parquet"}  # formats of one file


def export(model: str, to: str, out: str | Path | None = None) -> dict[str, Any]:
    """Writes a model in the format ``to``, of a run the newest checkpoint, or the metrics of a run as a table.

    They go into the run's directory unless ``out`` says where.

    Raises UsageError for an unknown format, a place that is in use, and models that the format cannot hold.
    """
    if to not in FORMATS:
        raise UsageError(f"--to is '{to}'; choose one of: {', '.join(FORMATS)}")
    if to in TABLES:
        Run.open(model)
    base, _, _ = model.partition(",")
    if to == "peft" and not is_run(Path(base)):
        raise UsageError(f"'{model}' is no run, and only a run that trained an adapter can give one; use --to hf")
    place = destination(model, to, out)
    notes = []
    try:
        if to in TABLES:
            save_table(Run.open(model), to, place)
        elif to == "peft":
            notes = save_peft(model, place)
        elif to == "weights":
            save_weights(model, place)
        elif to == "gguf":
            from puzzlebox.data.gguf_export import save_gguf

            language_model = load_model(model)
            save_gguf(language_model.decoder, language_model.tokenizer, place)
        else:
            language_model = load_model(model)
            save_decoder(language_model.decoder, place, origin(model))
            language_model.tokenizer.save(place)
    except OSError as error:
        raise PuzzleboxError(
            f"cannot write {place}: {error.strerror}; free some space or choose another --out"
        ) from None
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    return {
        "model": model,
        "to": to,
        "path": str(place),
        "files": [path.name for path in files],
        "bytes": sum(path.stat().st_size for path in files),
        "notes": notes,
    }


def destination(model: str, to: str, out: str | Path | None) -> Path:
    """Where the export goes; raises UsageError where something else is."""
    base = Path(model if to in TABLES else model.partition(",")[0])
    if out is None:
        if not is_run(base):
            raise UsageError(f"'{model}' is not the directory of a run; say where the export goes: --out DIR")
        return base / FILES.get(to, to)
    place = Path(out)
    if to in FILES:
        place = place if place.suffix == f".{to}" else place / FILES[to]
        if place.exists():
            raise UsageError(f"{place} exists already; choose another --out")
    elif place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UsageError(f"{place} is in use; choose a new or empty directory as --out")
    return place


def save_peft(model: str, place: Path) -> list[str]:
    """The adapter of a run; notes for the user."""
    from puzzlebox.data.peft import save_adapter

    base, _, rest = model.partition(",")
    trained = from_run(Path(base), int(rest.removeprefix("agent=") or 0), merge=False)
    start = str(read_config(Path(base))["hyperparameters"]["model"])
    known = origin(start) == Path(start)
    save_adapter(trained.decoder, place, start if known else f"{start.partition(',')[0]}-hf")
    trained.tokenizer.save(place)
    if known:
        return []
    way = f"puzzlebox export {start} --to hf --out {start.partition(',')[0]}-hf"
    return [f"the adapter belongs on {start}, which peft needs as a directory: {way}"]


def origin(model: str) -> Path | None:
    """The Hugging Face directory that a model, or what it was trained from, came from; None for another kind."""
    path = Path(model.partition(",")[0])
    while is_run(path):
        path = Path(str(read_config(path)["hyperparameters"]["model"]).partition(",")[0])
    return path if (path / "config.json").is_file() else None


def summary_lines(figures: dict[str, Any]) -> list[str]:
    size = figures["bytes"] / 1e6
    shown = [f"{figures['path']}: {', '.join(figures['files'])} ({size:.1f} MB)"]
    return shown + [f"  note: {note}" for note in figures["notes"]]
