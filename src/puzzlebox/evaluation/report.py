"""The figures of a run in a few plain lines."""

from __future__ import annotations

from typing import Any

from puzzlebox.evaluation.game_evaluation import game_lines
from puzzlebox.evaluation.language_evaluation import language_lines
from puzzlebox.runs.progress import si
from puzzlebox.runs.protocol import protocol_lines


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a person, of whatever was trained or evaluated."""
    trained = f": {plural(figures['seeds'], 'seed')}, {figures['steps']} steps" if figures["steps"] else ""
    out = [" on ".join(filter(None, (figures["algorithm"], figures["env"]))) + trained]
    for row in figures.get("table", []):
        values = ", ".join(f"{k} {v:g}" for k, v in row.items() if isinstance(v, float) and "return" not in k)
        out.append(f"  {values:30} {score(row)}")
    written = game_lines(figures) if "against" in figures else language_lines(figures)
    out += [f"  {line}" for line in written]
    if not written and "table" not in figures:
        for mode in ("greedy", "sampled"):
            out.append(f"  {mode:8} {score(figures[mode])}, episode length {figures[mode]['length_mean']:.1f}")
            if figures[mode]["episodes_cut"]:
                out.append(
                    f"           {figures[mode]['episodes_cut']} episodes did not end by themselves and were cut"
                )
    if "seconds" in figures:
        speed = figures["steps_per_second"]
        out.append(
            f"  trained in {figures['seconds']:.1f} s after {figures['compile_seconds']:.1f} s of compiling"
            + (f", {si(speed)} steps/s" if speed else "")
        )
    out += [f"  {line}" for line in protocol_lines(figures)]
    out += [f"  note: {note}" for note in figures.get("notes", [])]
    if not figures["intervals_meaningful"] and figures["steps"]:  # a model that is no run has no seeds
        out.append("  with fewer than 3 seeds there is no telling how other seeds would do: add --seeds 10")
    return explained([*out, f"  run: {figures['run']}"])


def explained(lines: list[str]) -> list[str]:
    """The lines, with a word about IQM where it stands first."""
    first = next((i for i, line in enumerate(lines) if "IQM" in line), None)
    return [line.replace("IQM", "IQM (interquartile mean)", 1) if i == first else line for i, line in enumerate(lines)]


def score(row: dict[str, Any]) -> str:
    low, high = row["return_ci"]
    shown = f" (95% interval {low:.1f} to {high:.1f})" if row["intervals_meaningful"] else ""
    return f"return IQM {row['return_iqm']:.1f}{shown}, mean {row['return_mean']:.1f}"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
