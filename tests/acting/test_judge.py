"""A reward model in the place of the verifier: which token is scored, and what stays the task's own."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting.judge import Judge, Judged, with_judge
from puzzlebox.data.text_worlds import make_text, skipped_report
from puzzlebox.envs.text import make_task
from puzzlebox.nets.scorer import Scorer
from puzzlebox.runs.build import load_model
from puzzlebox.types import RewardsMany, TaskOfRows

START = load_model("new,layers=1,width=16,heads=2,kv_heads=2,hidden=32,context=64")
JUDGE = Judge(Scorer(START.decoder, jnp.arange(16.0) / 16), START.tokenizer)


def test_the_score_is_that_after_the_end_token_whatever_stands_beside_it():
    prompts, texts = ["1+1=", "12+3="], ["2", "a longer one"]
    alone = [JUDGE([prompt], [text])[0] for prompt, text in zip(prompts, texts, strict=True)]
    np.testing.assert_allclose(JUDGE(prompts, texts), alone, rtol=1e-5)
    tokens = [*START.encode("1+1="), *START.tokenizer.encode("2"), START.tokenizer.eos_id]
    np.testing.assert_allclose(alone[0], JUDGE.scorer(jnp.array([tokens]))[0, -1], rtol=1e-5)
    assert alone[0] != pytest.approx(alone[1])


def test_a_judged_task_is_rewarded_by_the_judge_and_still_knows_what_is_correct():
    task = make_task("arith")
    learned = with_judge(task, JUDGE)
    assert isinstance(learned, RewardsMany) and not isinstance(learned, TaskOfRows)
    examples = learned.examples("train", 3, 0)
    assert examples == task.examples("train", 3, 0)
    for name in ("max_tokens", "chat", "levels", "held_out"):
        assert getattr(learned, name) == getattr(task, name)
    assert learned.hint(examples[0]) == task.hint(examples[0])
    assert learned.correct(examples[0], examples[0].answer)
    assert learned.rewards(examples, ["1", "2", "3"]) == JUDGE([e.prompt for e in examples], ["1", "2", "3"])
    assert learned.reward(examples[0], "1") == JUDGE([examples[0].prompt], ["1"])[0]


def test_a_judged_file_keeps_its_rows(tmp_path):
    rows = [{"prompt": f"{i}+1=", "answer": str(i + 1)} for i in range(10)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"prompt": 3}])))
    task = make_text(f"{tmp_path / 'rows.jsonl'},skip_bad=true")
    learned = with_judge(task, JUDGE)
    assert isinstance(learned, TaskOfRows) and learned.kind == "prompt" and learned.name == task.name
    assert learned.rows("train") == task.rows("train") and len(learned.dataset.rows) == 10
    assert skipped_report(learned) == skipped_report(task) and skipped_report(learned)["skipped_rows"] == 1
    learned.check_verdicts()
    assert isinstance(learned, Judged)
