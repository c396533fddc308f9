"""KTO: its loss by hand on two different models, the prompts it mismatches, and which way it goes."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.language.fine_tuning import LoRA
from puzzlebox.algorithms.language.kto import KTO
from puzzlebox.data.text_worlds import make_text
from puzzlebox.errors import PuzzleboxError
from puzzlebox.runs.build import load_model

SHAPE = "new,layers=1,width=32,heads=2,kv_heads=2,hidden=64,context=32"
START, OTHER = load_model(SHAPE), load_model(f"{SHAPE},seed=1")
ROWS = [
    {"prompt": "12*13=", "completion": "156", "label": True},
    {"prompt": "2+2=", "completion": "five", "label": False},
    {"prompt": "3+3=", "completion": "6", "label": True},
]


def made(folder, rows):
    path = folder / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    task = make_text(str(path))
    task._splits["train"] = list(task.dataset.rows)
    return KTO(
        task, START, batch_size=3, beta=0.4, desirable_weight=1.5, undesirable_weight=2.0, learning_rate=1e-2, warmup=0
    )


@pytest.fixture(scope="module")
def algorithm(tmp_path_factory):
    return made(tmp_path_factory.mktemp("data"), ROWS)


@eqx.filter_jit
def logits_of(decoder, tokens):
    return decoder(tokens)


def by_hand(decoder, prompt, completion):
    tokens = [*prompt, *completion]
    logits = np.asarray(logits_of(decoder, jnp.array([tokens + [0] * (16 - len(tokens))])))[0].astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return sum(log_probs[i - 1, tokens[i]] for i in range(len(prompt), len(tokens)))


def test_a_model_that_is_its_reference_has_half_of_every_weight(algorithm):
    _, metrics = algorithm.step(algorithm.init(jax.random.key(0)))
    assert float(metrics["loss"]) == pytest.approx((1.5 + 1.5 + 2.0) / 6, rel=1e-5)
    assert float(metrics["kl"]) == 0.0
    assert float(metrics["frac_desirable"]) == pytest.approx(2 / 3)
    assert float(metrics["weight_balance"]) == pytest.approx(1.5 * 2 / 2.0)


@pytest.mark.parametrize("swapped", [False, True])
def test_the_loss_by_hand_where_policy_and_reference_differ(algorithm, swapped, monkeypatch):
    """Rows in their own order; z from each completion behind the prompt of the row before it."""
    order = [1, 0, 2] if swapped else [0, 1, 2]
    monkeypatch.setattr("puzzlebox.algorithms.language.preferences.batch_indices", lambda *_: np.array(order))
    params = LoRA().trained(OTHER.decoder, jax.random.key(0))
    _, metrics = algorithm.step(algorithm.init(jax.random.key(0))._replace(params=jax.tree.map(jnp.copy, params)))
    labels = algorithm.labels()
    labels = [labels[i] for i in order]
    ratio = lambda prompt, y: by_hand(OTHER.decoder, prompt, y) - by_hand(START.decoder, prompt, y)  # noqa: E731
    z = max(0.0, np.mean([ratio(labels[i].prompt, labels[(i + 1) % 3].completion) for i in range(3)]))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    losses = []
    for label in labels:
        gain = 0.4 * (ratio(label.prompt, label.completion) - z)
        losses.append(1.5 * (1 - sigmoid(gain)) if label.wanted else 2.0 * (1 - sigmoid(-gain)))
    assert float(metrics["kl"]) == pytest.approx(z, rel=1e-3, abs=1e-6)
    assert float(metrics["loss"]) == pytest.approx(np.mean(losses), rel=1e-4)


def test_wanted_gains_on_unwanted(algorithm):
    state = algorithm.init(jax.random.key(0))
    for _ in range(3):
        state, metrics = algorithm.step(state)
    assert float(metrics["rewards/chosen"]) > 0.01
    assert float(metrics["rewards/rejected"]) < -0.01


def test_one_kind_of_verdict_alone_is_refused(tmp_path):
    algorithm = made(tmp_path, [row | {"label": True} for row in ROWS])
    with pytest.raises(PuzzleboxError, match="all 3 completions are wanted"):
        algorithm.step(algorithm.init(jax.random.key(0)))
