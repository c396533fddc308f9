"""A reward model in the place of the verifier: which token is scored, and what stays the task's own."""

import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting.judge import Judge, Judged
from puzzlebox.envs.text import make_task
from puzzlebox.nets.scorer import Scorer
from puzzlebox.runs.build import load_model

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
    judged = Judged(task, JUDGE)
    examples = judged.examples("train", 3, 0)
    assert examples == task.examples("train", 3, 0)
    assert judged.max_tokens == task.max_tokens
    assert judged.correct(examples[0], examples[0].answer)
    assert judged.rewards(examples, ["1", "2", "3"]) == JUDGE([e.prompt for e in examples], ["1", "2", "3"])
