"""The reward model: where it begins, that the last token decides, and the lecture's two rankings learned."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting.judge import final_scores
from puzzlebox.algorithms.language.reward_model import RewardModel
from puzzlebox.data.preferences import Pair, answer_rows, pair_rows
from puzzlebox.data.text_worlds import make_text
from puzzlebox.nets.scorer import Scorer
from puzzlebox.runs.build import load_model

START = load_model("new,layers=1,width=32,heads=2,kv_heads=2,hidden=64,context=32")
ROWS = [
    {"prompt": "2+2=", "completions": ["4", "5"]},
    {"prompt": "Hi", "completions": ["D", "C", "A", "B"]},
]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "rankings.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    made = make_text(str(path))
    made._splits = {"train": list(made.dataset.rows), "test": list(made.dataset.rows)}
    return made


@pytest.fixture(scope="module")
def trained(task):
    algorithm = RewardModel(task, START, steps=40, batch_size=7, learning_rate=1e-2, warmup=0, margin=True)
    state, history = algorithm.init(jax.random.key(0)), []
    for _ in range(40):
        state, metrics = algorithm.step(state)
        history.append(jax.device_get(metrics))
    return algorithm, state, history


def test_a_new_head_scores_nothing_so_the_loss_is_ln_2(trained):
    _, _, history = trained
    assert history[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert history[0]["rewards/accuracies"] == 0.0


def test_rankings_are_learned(trained):
    algorithm, state, history = trained
    assert len(algorithm.pairs(demonstrations=True)) == 1 + 6
    assert history[-1]["rewards/accuracies"] == 1.0
    scores = algorithm.policy(state)(["Hi"] * 4 + ["2+2="] * 2, ["D", "C", "A", "B", "4", "5"])
    assert scores[:4] == sorted(scores[:4], reverse=True)
    assert scores[4] > scores[5]


def test_the_score_is_the_one_after_the_last_token(trained):
    algorithm, state, _ = trained
    scorer = algorithm.policy(state).scorer
    rows = answer_rows([[1, 2], [3]], [[4, 5, 6], [7, 8]], START)
    everything = np.asarray(scorer(jnp.array([[1, 2, 4, 5, 6], [3, 7, 8, 0, 0]])))
    np.testing.assert_allclose(final_scores(scorer, rows), [everything[0, 4], everything[1, 2]], atol=1e-5)


def test_a_trained_judge_reads_texts_as_training_did(trained):
    algorithm, state, _ = trained
    judge = algorithm.policy(state)
    pairs = algorithm.pairs(demonstrations=True)[:1]
    on_tokens = final_scores(judge.scorer, pair_rows(pairs, START))
    np.testing.assert_allclose(judge(["2+2="] * 2, ["4", "5"]), on_tokens, atol=1e-5)


def test_the_margin_and_the_centring_term_by_hand(task):
    algorithm = RewardModel(task, START, centring_coef=0.5)
    head = jax.random.normal(jax.random.key(1), (32,))
    start = Scorer(START.decoder, head)
    params = algorithm.init(jax.random.key(0)).params
    pairs = [Pair([1], [2, 3], [4]), Pair([5], [6], [7, 8, 9])]
    rows = pair_rows(pairs, START)
    margins = np.array([0.0, 1.5])
    better, worse = np.split(np.asarray(final_scores(start, rows), np.float64), 2)
    loss = np.log1p(np.exp(-(better - worse - margins))).mean()
    total, metrics = algorithm._loss(Scorer(params.decoder, head), algorithm.frozen(), rows, jnp.asarray(margins))
    assert float(metrics["loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(total) == pytest.approx(loss + 0.5 * np.square(better + worse).mean(), rel=1e-5)


def test_with_adapters_only_they_and_the_head_train(task):
    algorithm = RewardModel(task, START, batch_size=7, lora_rank=2)
    state = algorithm.init(jax.random.key(0))
    names = {jax.tree_util.keystr(path)[-7:] for path, _ in jax.tree_util.tree_leaves_with_path(state.params)}
    assert names == {".lora_a", ".lora_b", ".head"[-7:]}
