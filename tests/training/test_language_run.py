"""A whole small run of language models through the command line: what every command gives, and its exit code."""

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout

import pytest

from puzzlebox.cli import main

MODEL = "new,layers=1,width=16,heads=2,kv_heads=2,hidden=16,context=64"
SMALL = ["--episodes", "2", "--learning-rate", "1e-2", "--json"]


def puzzlebox(*words):
    """Exit code, the JSON on standard output, and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    return code, json.loads(out.getvalue()) if out.getvalue() else None, err.getvalue()


def figures(*words):
    code, found, err = puzzlebox(*words)
    assert code == 0, err
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def sft(folder):
    flags = ["--steps", "6", "--batch-size", "4", "--num-examples", "16", "--seeds", "2", *SMALL]
    return figures("train", "sft", "tiny", "--model", MODEL, "--run", folder / "sft", *flags)


@pytest.fixture(scope="module")
def grpo(folder, sft):
    flags = ["--steps", "2", "--num-prompts", "2", "--group-size", "4", *SMALL]
    return figures("train", "grpo", "tiny", "--model", sft["run"], "--run", folder / "grpo", *flags)


def test_a_trained_run_tells_its_figures_and_keeps_them(folder, sft):
    assert sft["algorithm"] == "sft" and sft["env"] == "tiny" and sft["steps"] == 6 and sft["seeds"] == 2
    assert 0 <= sft["accuracy"] <= 1 and 0 <= sft["accuracy_ci"][0] < sft["accuracy_ci"][1] <= 1
    assert {"return_mean", "return_iqm", "return_ci", "seconds", "compile_seconds", "examples", "notes"} <= sft.keys()
    rows = [json.loads(line) for line in (folder / "sft" / "metrics.jsonl").read_text().splitlines()]
    assert [row["steps"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(len(row["loss"]) == 2 for row in rows)
    assert json.loads((folder / "sft" / "summary.json").read_text())["accuracy"] == sft["accuracy"]
    assert (folder / "sft" / "evaluation.json").is_file()


def test_evaluate_finds_what_training_ended_with(sft):
    again = figures("evaluate", sft["run"], "--episodes", "2", "--json")
    assert {name: again[name] for name in again if name != "notes"}.items() <= sft.items()


def test_resume_of_a_run_that_has_ended_changes_nothing(folder, sft):
    before = (folder / "sft" / "metrics.jsonl").read_text()
    again = figures("resume", sft["run"], "--json")
    assert again["steps"] == 6 and again["accuracy"] == sft["accuracy"]
    assert (folder / "sft" / "metrics.jsonl").read_text() == before
    code, _, err = puzzlebox("train", "sft", "tiny", "--model", MODEL, "--run", sft["run"])
    assert code == 2 and f"holds a run already; continue it with: puzzlebox resume {sft['run']}" in err


def test_one_run_goes_on_from_another_and_is_held_against_it(folder, sft, grpo):
    assert grpo["algorithm"] == "grpo" and grpo["steps"] == 2
    row = json.loads((folder / "grpo" / "metrics.jsonl").read_text().splitlines()[0])
    assert {"reward", "reward_std", "entropy", "frac_reward_zero_std", "completions/mean_length"} <= row.keys()
    wins = figures("winrate", grpo["run"], sft["run"], "--task", "tiny", "--episodes", "2", "--json")
    assert wins["task"] == "tiny" and wins["agents"] == 2
    assert 0 <= wins["win_rate_ci"][0] < wins["win_rate_ci"][1] <= 1
    assert wins["wins"] + wins["ties"] + wins["losses"] == wins["agents"] * wins["problems"]
    itself = figures("winrate", sft["run"], sft["run"], "--episodes", "2", "--json")
    assert (itself["win_rate"], itself["order_changed_the_verdict"]) == (0.5, 0)


def test_what_is_exported_writes_what_the_run_writes(folder, grpo):
    exported = figures("export", grpo["run"], "--to", "hf", "--out", folder / "exported", "--json")
    assert exported["to"] == "hf"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in (folder / "exported").iterdir()}
    flags = ["--prompt", "=", "--max-tokens", "3", "--temperature", "0", "--json"]
    ours, theirs = (figures("generate", model, *flags) for model in (grpo["run"], folder / "exported"))
    assert ours["tokens"] == theirs["tokens"]
    assert puzzlebox("export", grpo["run"], "--to", "peft", "--json")[0] == 2  # it has no adapter


@pytest.fixture(scope="module")
def file(folder):
    good = [{"prompt": f"{i}+1=", "completion": f"{i + 1}", "answer": f"{i + 1}"} for i in range(12)]
    lines = [*map(json.dumps, good[:4]), '{"prompt": "5+1=', '{"prompt": "6+1=", "completion": 7}']
    (folder / "rows.jsonl").write_text("\n".join([*lines, *map(json.dumps, good[4:])]))
    return folder / "rows.jsonl"


def test_broken_rows_are_named_or_left_out_and_counted(folder, sft, file):
    flags = ["--model", MODEL, "--run", folder / "rows", "--steps", "1", "--batch-size", "2", *SMALL]
    code, out, err = puzzlebox("train", "sft", file, *flags)
    assert (code, out, err.count("\n")) == (2, None, 1)
    assert f"{file}, line 5: a JSON object was expected" in err and "(column 12: " in err and "--skip-bad" in err
    trained = figures("train", "sft", file, "--skip-bad", *flags)
    note = f"2 of 14 rows are broken and left out; the first: {file}, line 5: a JSON object was expected"
    assert trained["skipped_rows"] == 2
    assert trained["notes"][0].startswith(note)
    for words in (("evaluate", sft["run"]), ("winrate", sft["run"], trained["run"])):
        words = (*words, "--task", file, "--episodes", "2")
        code, out, err = puzzlebox(*words, "--json")
        assert (code, out, err.count("\n")) == (2, None, 1)
        found = figures(*words, "--skip-bad", "--json")
        assert found["skipped_rows"] == 2 and found["notes"][0].startswith(note)
    assert figures("evaluate", trained["run"], "--episodes", "2", "--json")["skipped_rows"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "sft", "arith", "--skip-bad"), "--skip-bad leaves out broken rows of a file, and 'arith' is none"),
        (("evaluate", MODEL, "--skip-bad"), "--skip-bad leaves out broken rows of a file, and none is named"),
    ],
)
def test_only_files_have_broken_rows(words, message):
    code, out, err = puzzlebox(*words)
    assert (code, out, err.count("\n")) == (2, None, 1)
    assert message in err


def test_a_model_that_cannot_be_read_is_one_line(folder):
    figures("export", MODEL, "--to", "hf", "--out", folder / "whole", "--json")
    weights = (folder / "whole" / "model.safetensors").read_bytes()
    described = json.loads((folder / "whole" / "config.json").read_text())
    broken = {
        "truncated": (weights[:-100], described, "model.safetensors is damaged or was not downloaded whole"),
        "mamba": (weights, described | {"model_type": "mamba"}, "has model_type 'mamba'; supported are: llama, "),
        "wider": (
            weights,
            described | {"hidden_size": 32},
            "embed_tokens.weight has shape (258, 16), its",
        ),
    }
    for name, (data, config, message) in broken.items():
        shutil.copytree(folder / "whole", folder / name)
        (folder / name / "model.safetensors").write_bytes(data)
        (folder / name / "config.json").write_text(json.dumps(config))
        for words in (("generate", folder / name, "--prompt", "a"), ("train", "sft", "tiny", "--model", folder / name)):
            code, out, err = puzzlebox(*words)
            assert (code, out, err.count("\n")) == (2, None, 1)
            assert message in err


def test_a_reward_that_is_no_number_stops_the_run_which_goes_on_once_it_is_mended(folder, file):
    (folder / "mine.py").write_text(
        "def score(completions, **columns):\n    return [float('nan')] * len(completions)\n"
    )
    task, run = f"{file},skip_bad=true,max_tokens=4,reward={folder / 'mine.py'}:score", folder / "nan"
    flags = ["--model", MODEL, "--steps", "1", "--num-prompts", "2", "--group-size", "4", *SMALL]
    exit_code, out, err = puzzlebox("train", "grpo", task, "--run", run, *flags)
    assert (exit_code, out) == (1, None)
    last = f"puzzlebox: {folder / 'mine.py'}:score returned nan for row 0; every reward must be a finite number"
    assert err.splitlines()[-1] == last
    (folder / "mine.py").write_text(
        "def score(completions, **columns):\n    return [len(set(t)) for t in completions]\n"
    )
    assert figures("resume", run, "--json")["steps"] == 1
