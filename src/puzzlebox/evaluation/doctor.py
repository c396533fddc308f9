"""What is wrong with a run, a language model or a file of rows, and what to do about it.

A run: its settings and metrics (`symptoms`), and for a language model also what is said of models. A model: padding,
chat template, NaN, and whether the sampler's log-probabilities are the trainer's. A file: repeated, broken, unbalanced
and overlong rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from puzzlebox.acting.generate import Sampling, generate
from puzzlebox.acting.judge import Judge
from puzzlebox.acting.score import score
from puzzlebox.data import datasets
from puzzlebox.data.append_only import append_only_complaint
from puzzlebox.data.dataset_rows import Row, Text
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.text_worlds import is_file
from puzzlebox.envs.text.task import is_test
from puzzlebox.errors import UsageError
from puzzlebox.evaluation.subjects import open_subject, writes
from puzzlebox.evaluation.symptoms import CHECKS, Finding, unbalanced
from puzzlebox.runs.build import load_model
from puzzlebox.runs.directory import Run
from puzzlebox.runs.inputs import check_trusted, located
from puzzlebox.runs.pretrained import is_run
from puzzlebox.scale import backend

SEVERITIES = ("error", "warning", "note")
PROMPTS = ("2+2=", "The capital of France is", "a", "Once upon a time there was")
DRIFT = 1e-3  # nats per token that sampler and trainer may differ by in float32
COARSE_DRIFT = 0.1  # in half precision


def doctor(subject: str | Path, *, model: str = "") -> dict[str, Any]:
    """Examines a run, a model or a file; ``model``: whose tokenizer and context a file must fit.

    ``findings`` are sorted, errors first; ``checked`` lists what was looked at. Raises UsageError for anything else.
    """
    backend.prepare()
    path = Path(subject)
    if is_run(path):
        kind, (checked, findings) = "run", examine_run(path)
    elif is_file(str(subject)) and not (path / "config.json").is_file():
        kind, (checked, findings) = "file", examine_file(str(subject), load_model(model) if model else None)
    elif writes(subject):
        kind, (checked, findings) = "model", examine_model(load_model(str(subject)))
    else:
        raise UsageError(f"'{subject}' is no run directory, language model or file of rows (.jsonl, .json, .parquet)")
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return {
        "subject": str(subject),
        "kind": kind,
        "healthy": not any(finding.severity != "note" for finding in findings),
        "findings": [finding._asdict() for finding in findings],
        "checked": checked,
    }


def examine_run(path: Path) -> tuple[list[str], list[Finding]]:
    """Settings, metrics, and the trained language model if there is one."""
    run = Run.open(path)
    rows = run.metrics()
    config = located(run.config, run.path)
    check_trusted(config, run.path)  # some checks look at the world
    checked, findings = list(CHECKS), [finding for check in CHECKS.values() for finding in check(config, rows)]
    if not rows:
        do = f"continue it: puzzlebox resume {path}"
        findings.append(Finding("error", "metrics", "the run has logged nothing", 0, do))
    if writes(path) and any(run.checkpoints.glob("*.safetensors")):
        subject = open_subject(path, judges=True)
        model: Any = subject.model(0)
        if not isinstance(model, Judge):
            more, found = examine_model(model)
            checked, findings = checked + more, findings + found
    return checked, findings


def examine_model(model: LanguageModel) -> tuple[list[str], list[Finding]]:
    """Tokenizer, template, parameters, and sampler against trainer."""
    findings = [*padding(model), *template(model)]
    broken = lost_parameters(model)
    findings += broken or drift(model)
    return ["padding", "chat template", "parameters", "sampler and trainer"], findings


def padding(model: LanguageModel) -> list[Finding]:
    """A padding token that also ends a text."""
    tokenizer = model.tokenizer
    if tokenizer.pad_id not in tokenizer.stop_ids:
        return []
    what = f"padding is {tokenizer.pad_reason}: what masks padding out also hides where a text ends"
    do = "here loss masks are made of positions, so training is right; elsewhere give the tokenizer a padding token"
    return [Finding("warning", "pad = eos", what, tokenizer.token_strings([tokenizer.pad_id])[0], do)]


def template(model: LanguageModel) -> list[Finding]:
    """A chat template that rewrites what was already said, or none."""
    if model.tokenizer.chat_template is None:
        do = "give plain prompts, or a template with --chat-template FILE"
        return [Finding("note", "chat template", "the tokenizer has no chat template: no conversations", None, do)]
    try:
        complaint = append_only_complaint(model.tokenizer)
    except UsageError as error:
        complaint = f"the chat template cannot be used: {error}"
    if complaint is None:
        return []
    what, _, do = complaint.partition("; ")
    return [Finding("warning", "chat template", what, None, do or "mend the template")]


def lost_parameters(model: LanguageModel) -> list[Finding]:
    """Parameters that are no numbers."""
    leaves = jax.tree.leaves(eqx.filter(model.decoder, eqx.is_inexact_array))
    count = sum(int((~np.isfinite(np.asarray(x, np.float32))).sum()) for x in leaves)
    if not count:
        return []
    do = "go back to an older checkpoint, and lower --learning-rate"
    return [Finding("error", "parameters", f"{count} parameters are not numbers", count, do)]


def drift(model: LanguageModel) -> list[Finding]:
    """The largest difference between the log-probability that a sampler recorded and the trainer's."""
    difference, coarse = largest_drift(model), half_precision(model)
    limit = COARSE_DRIFT if coarse else DRIFT
    if difference <= limit:
        return []
    what = f"sampler and trainer differ by up to {difference:.2g} nats per token (at most {limit:g} is rounding)"
    do = "policy updates would be wrong: report it, with the model's name"
    return [Finding("error", "sampler and trainer", what, difference, do)]


def largest_drift(model: LanguageModel, max_tokens: int = 16, seed: int = 0) -> float:
    """max |log π_sampler − log π_trainer| over completions drawn for a few prompts."""
    tokenizer = model.tokenizer
    trajectory = generate(
        model.decoder,
        [model.encode(prompt) for prompt in PROMPTS],
        jax.random.key(seed),
        max_tokens=min(max_tokens, model.decoder.config.context // 2),
        sampling=Sampling(1.0),
        stop_ids=tokenizer.stop_ids,
        pad_id=tokenizer.pad_id,
    )
    again = eqx.filter_jit(score)(model.decoder, trajectory.observation, trajectory.action, trajectory.mask)[0]
    return float(np.abs(np.asarray(again - trajectory.log_prob, np.float64))[np.asarray(trajectory.mask)].max())


def half_precision(model: LanguageModel) -> bool:
    leaves = jax.tree.leaves(eqx.filter(model.decoder, eqx.is_inexact_array))
    return any(x.dtype.itemsize < 4 for x in leaves)


def examine_file(name: str, model: LanguageModel | None) -> tuple[list[str], list[Finding]]:
    """The rows of a file, and whether ``model`` can read them."""
    data = datasets.read(name, skip_bad=True)
    checked, findings = ["broken rows", "repetition"], broken_rows(data) + repetition(data)
    if data.kind == "label":
        checked.append("balance")
        findings += unbalanced(float(np.mean([bool(row.label) for row in data.rows])))
    if data.kind == "preference":
        checked.append("length of the chosen")
        findings += longer_wins(data)
    if model is not None:
        checked.append("context")
        findings += too_long(data, model)
    return checked, findings


def broken_rows(data: datasets.Dataset) -> list[Finding]:
    """Rows that cannot be used, chosen texts that equal the rejected ones among them."""
    if not data.skipped:
        return []
    total = len(data.rows) + len(data.skipped)
    what = f"{len(data.skipped)} of {total} rows are broken; the first: {data.skipped[0]}"
    return [Finding("error", "broken rows", what, len(data.skipped), "mend them, or leave them out with skip_bad=true")]


def repetition(data: datasets.Dataset) -> list[Finding]:
    """Rows that are there twice, and too few of them to hold any out."""
    found = []
    shown = [repr(row._replace(source="")) for row in data.rows]
    twice = len(shown) - len(set(shown))
    if twice > 0.01 * len(shown):
        what = f"{twice} of {len(shown)} rows repeat an earlier one"
        found.append(Finding("warning", "repeated rows", what, twice, "remove them: they count twice"))
    held_out = sum(is_test(str(row.text if row.prompt is None else row.prompt)) for row in data.rows)
    if held_out in (0, len(data.rows)):
        what = f"none of the {len(data.rows)} rows is held out: evaluation will see what was learned"
        do = "give more rows (one prompt in five is held out), or evaluate on another --task"
        found.append(Finding("warning", "nothing held out", what, held_out, do))
    return found


def longer_wins(data: datasets.Dataset) -> list[Finding]:
    """The chosen text is nearly always the longer one, so length is the easiest thing to learn."""
    differences = [length(row.chosen) - length(row.rejected) for row in data.rows]
    share = float(np.mean([(d > 0) + 0.5 * (d == 0) for d in differences]))
    if len(differences) < 20 or share < 0.75:
        return []
    what = f"the chosen text is the longer one in {share:.0%} of the pairs: length may be what is learned"
    do = "balance the pairs, and look at the length-controlled figure of puzzlebox winrate"
    return [Finding("warning", "length of the chosen", what, round(share, 4), do)]


def too_long(data: datasets.Dataset, model: LanguageModel) -> list[Finding]:
    """Rows that do not fit into the model's context."""
    context = model.decoder.config.context
    lengths = [max(len(model.tokenizer.encode(text)) for text in texts(row)) for row in data.rows]
    over = sum(n >= context for n in lengths)
    if not over:
        return []
    what = f"{over} of {len(lengths)} rows are longer than the model's context of {context}; the longest {max(lengths)}"
    return [Finding("error", "context", what, over, "shorten or remove them, or choose a model with a longer context")]


def texts(row: Row) -> list[str]:
    """The row's texts as they are read: each answer behind its prompt."""
    answers = [row.text, row.completion, row.chosen, row.rejected, *(row.completions or ())]
    return [plain(row.prompt) + plain(text) for text in answers if text is not None] or [plain(row.prompt)]


def plain(text: Text | None) -> str:
    if text is None or isinstance(text, str):
        return text or ""
    return "\n".join(str(message["content"]) for message in text)


def length(text: Text | None) -> int:
    return len(plain(text))


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The findings for a person."""
    out = [f"{figures['subject']} ({figures['kind']})"]
    for f in figures["findings"]:
        value = "" if f["value"] is None else f" [{plain_value(f['value'])}]"
        out += [f"  {f['severity']}: {f['what']}{value}", f"    → {f['do']}"]
    if not figures["findings"]:
        out.append("  nothing found")
    return [*out, f"  looked at: {', '.join(figures['checked'])}"]


def plain_value(value: Any) -> str:
    """What was measured, for a person: two numbers are a beginning and an end, several names a list."""
    if not isinstance(value, list | tuple):
        return str(value)
    numbers = len(value) == 2 and all(isinstance(one, int | float) for one in value)
    return (" → " if numbers else ", ").join(map(str, value))
