"""What is told before a language model trains, and what is refused."""

import io
import json

import jax
import numpy as np
import pytest

from puzzlebox.data.packing import EncodedText
from puzzlebox.errors import UsageError
from puzzlebox.runs import preflight
from puzzlebox.runs.build import build
from puzzlebox.runs.configure import configure
from puzzlebox.training.train import train

USER = {"role": "user", "content": "2+2?"}
TINY = "new,layers=1,width=16,heads=2,kv_heads=2,hidden=16,context=64"
EMBEDDING, ATTENTION, MLP, NORMS = 258 * 16, 4 * 16 * 16, 3 * 16 * 16, 3 * 16


def said(text):
    return {"role": "assistant", "content": text}


def agents(seeds=1, **options):
    return build(configure("sft", "tiny", seeds, 0, {"model": TINY, "batch_size": 4, **options}))


def parameters(agents):
    return preflight.parameters(agents.algorithm, agents.shapes()[0])


def test_parameters_by_hand():
    total, trained = parameters(agents())
    assert total == trained
    assert total in (EMBEDDING + ATTENTION + MLP + NORMS, 2 * EMBEDDING + ATTENTION + MLP + NORMS)  # tied or not
    assert parameters(agents(lora_rank=2, lora_targets="query"))[1] == 2 * (16 + 16)


def test_weights_gradients_and_adam_must_fit(monkeypatch):
    total, _ = parameters(agents())
    monkeypatch.setattr(preflight, "available", lambda device=None: (2 * 16 * total, "this machine"))
    assert f"{total:,} parameters, all of them train" in agents(seeds=2).notes()[-1]
    monkeypatch.setattr(preflight, "available", lambda device=None: (2 * 16 * total - 1, "this machine"))
    with pytest.raises(UsageError, match=r"2 agents takes about .* --lora-rank 16"):
        agents(seeds=2).check()


def test_without_a_terminal_nobody_can_be_asked(monkeypatch):
    asking = build(configure("online_dpo", "tiny", 1, 0, {"model": TINY, "human": True}))
    monkeypatch.setattr("sys.stdin", io.StringIO("a"))
    with pytest.raises(UsageError, match="no terminal is there to ask in"):
        asking.check()


def test_the_first_update_is_measured_and_changes_nothing():
    told: list[str] = []
    plain, measured = agents(), agents()
    runs = [a.compile(None, tell)({}, a.start(), 2) for a, tell in ((plain, None), (measured, told.append))]
    assert len(told) == 1 and "from the compiled program" in told[0]
    for a, b in zip(*(jax.tree.leaves(state[0].params) for state, _ in runs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_update_inside_a_round_of_star_is_measured():
    told: list[str] = []
    options = {"model": TINY, "batch_size": 2}
    plain, measured = (build(configure("star", "tiny", 1, 0, options)) for _ in range(2))
    measured.compile(None, told.append)
    text = EncodedText([61, 97, 257], [False, True, True])
    learned = [a.members[0][0]._fine_tune(a.start()[0], [text] * 2, 3)[0] for a in (plain, measured)]
    assert len(told) == 1 and "from the compiled program" in told[0]
    for a, b in zip(*map(jax.tree.leaves, learned), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_that_cannot_fit_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "available", lambda device=None: (1, "this machine"))
    with pytest.raises(UsageError, match="this machine has 1 bytes"):
        train("sft", "tiny", model=TINY, run=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


LONG = "a" * 60


@pytest.mark.parametrize(
    ("algorithm", "row", "message"),
    [
        ("sft", {"prompt": LONG, "completion": "abcde"}, "line 2 has 66 tokens with its prompt, and a row takes 65"),
        (
            "grpo",
            {"prompt": LONG, "answer": "2"},
            "line 2: the prompt has 60 tokens, and 8 more for",
        ),
        ("grpo", {"prompt": "2+2="}, "line 2 has no column 'answer' to judge completions by"),
        ("star", {"prompt": "2+2=", "answer": None}, "line 2 has no column 'answer' to judge completions by"),
        (
            "dpo",
            {"prompt": LONG, "chosen": "a", "rejected": "abcde"},
            "line 2 has 66 tokens with its prompt, more",
        ),
        ("reward_model", {"prompt": "a", "chosen": LONG, "rejected": LONG + "abcd"}, "line 2 has 66 tokens with"),
        ("kto", {"prompt": LONG, "completion": "abcde", "label": True}, "line 2 has 66 tokens with its prompt, more"),
        ("dpo", {"prompt": [USER], "chosen": [said("4")], "rejected": [said("5")]}, "has no chat template"),
        ("grpo", {"text": "abc"}, "line 1 has no column 'answer'"),
        ("grpo,level", {"prompt": "2+2="}, "mine.py:level needs the column 'grade'; there are: answer"),
        ("grpo,score", {"text": "abc"}, "line 1 has no prompt to complete; sft learns from such a file"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_before_anything_is_made(tmp_path, algorithm, row, message):
    first = {} if "text" in row else {name: True if name == "label" else name for name in row} | {"answer": "4"}
    if isinstance(row.get("chosen"), list):
        first = row
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(x) for x in (first, row) if x))
    (tmp_path / "mine.py").write_text("def score(completions): pass\n\n\ndef level(completions, grade): pass\n")
    name, _, reward = algorithm.partition(",")
    task = f"{tmp_path / 'rows.jsonl'}" + (f",reward={tmp_path / 'mine.py'}:{reward}" if reward else "")
    options = {"max_tokens": 8} if name == "grpo" else {"max_tokens": 4} if name == "star" else {}
    with pytest.raises(UsageError, match=message):
        train(name, task, model=TINY, run=tmp_path / "run", quiet=True, **options)
    assert not (tmp_path / "run").exists()
