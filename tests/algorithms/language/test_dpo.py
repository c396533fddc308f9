"""DPO and IPO: where they begin, which way they go, and numbers from logits with plain NumPy."""

import dataclasses
import json
import math
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.acting.pairs import Memory
from puzzlebox.algorithms.language.dpo import DPO
from puzzlebox.algorithms.language.ipo import IPO
from puzzlebox.algorithms.language.preferences import pair_step
from puzzlebox.data.preferences import Answers, pair_rows
from puzzlebox.data.text_worlds import make_text
from puzzlebox.errors import UsageError
from puzzlebox.fields import replace
from puzzlebox.ops.preference_losses import dpo_loss, ipo_loss
from puzzlebox.runs.build import load_model
from puzzlebox.runs.pretrained import NEW, new_model
from puzzlebox.types import Example

START = load_model("new,layers=1,width=32,heads=2,kv_heads=2,hidden=64,context=32")
OTHER = load_model("new,layers=1,width=32,heads=2,kv_heads=2,hidden=64,context=32,seed=1")
ROWS = [
    {"prompt": "12*13=", "chosen": "156", "rejected": "150"},
    {"prompt": "2+2=", "chosen": "4", "rejected": "five"},
    {"prompt": "3+3=", "chosen": "six", "rejected": "7"},
]


class Bytes:
    """A task in which every text of a random model earns something else."""

    chat, max_tokens, name = False, 3, "bytes"

    def examples(self, split, count, seed):
        return [Example("=", "a")] * count

    def reward(self, example, completion):
        return float(sum(map(ord, completion)) % 7)

    def correct(self, example, completion):
        return self.reward(example, completion) == 6.0


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    made = make_text(str(path))
    made._splits["train"] = list(made.dataset.rows)
    return made


@pytest.fixture(scope="module")
def algorithm(task):
    return DPO(task, START, steps=10, batch_size=3, learning_rate=1e-2, warmup=0)


@pytest.fixture(scope="module")
def two_steps(algorithm):
    state = algorithm.init(jax.random.key(0))
    once, first = algorithm.step(state)
    twice, second = algorithm.step(once)
    return state, once, twice, first, second


def arrays(tree):
    return jax.tree.leaves(eqx.filter(tree, eqx.is_array))


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(arrays(a), arrays(b), strict=True))


@eqx.filter_jit
def logits_of(decoder, tokens):
    return decoder(tokens)


def by_hand(decoder, prompt, completion):
    """log π of the completion's characters and its end, from logits, in float64."""
    tokens = [*prompt, *completion]
    logits = np.asarray(logits_of(decoder, jnp.array([tokens + [0] * (16 - len(tokens))])))[0].astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    places = range(len(prompt), len(tokens))
    return sum(log_probs[i - 1, tokens[i]] for i in places)


def test_the_loss_is_ln_2_where_policy_and_reference_agree(two_steps):
    *_, first, _ = two_steps
    assert float(first["loss"]) == pytest.approx(math.log(2), abs=1e-6)
    assert float(first["rewards/margins"]) == 0.0


@pytest.mark.parametrize(("loss", "value"), [("hinge", 1.0), ("robust", math.log(2))])
def test_where_the_other_losses_begin(task, loss, value):
    algorithm = DPO(task, START, batch_size=3, loss=loss, label_smoothing=0.2)
    _, metrics = algorithm.step(algorithm.init(jax.random.key(0)))
    assert float(metrics["loss"]) == pytest.approx(value, abs=1e-6)


def test_chosen_gains_on_rejected(two_steps):
    *_, first, second = two_steps
    assert float(second["rewards/margins"]) > 0.01
    assert float(second["loss"]) < float(first["loss"])
    assert float(second["logps/chosen"]) > float(first["logps/chosen"])


def test_log_probs_are_those_of_the_logits(algorithm, two_steps):
    *_, first, _ = two_steps
    pairs = algorithm.pairs()
    chosen = [by_hand(START.decoder, p.prompt, p.chosen) for p in pairs]
    rejected = [by_hand(START.decoder, p.prompt, p.rejected) for p in pairs]
    assert float(first["logps/chosen"]) == pytest.approx(np.mean(chosen), rel=1e-5)
    assert float(first["logps/rejected"]) == pytest.approx(np.mean(rejected), rel=1e-5)
    assert float(first["probability/chosen"]) == pytest.approx(np.exp(chosen).mean(), rel=1e-4)


@pytest.mark.parametrize("per_token", [False, True])
def test_both_losses_by_hand_on_two_different_models(algorithm, per_token):
    """DPO, and IPO in both conventions, against formulas over log-probabilities from logits."""
    pairs, beta = algorithm.pairs(), 0.3
    rows = pair_rows(pairs, START)
    algorithm = replace(algorithm, {"beta": beta})
    state = algorithm.init(jax.random.key(0))

    def ratio(prompt, completion):
        models = (START.decoder, OTHER.decoder)
        own, reference = (by_hand(decoder, prompt, completion) for decoder in models)
        return (own - reference) / (len(completion) if per_token else 1)

    gap = np.array([ratio(p.prompt, p.chosen) - ratio(p.prompt, p.rejected) for p in pairs])
    expected = {dpo_loss: np.log1p(np.exp(-beta * gap)).mean(), ipo_loss: ((gap - 1 / (2 * beta)) ** 2).mean()}
    for loss, value in expected.items():
        _, metrics = eqx.filter_jit(pair_step)(
            algorithm, partial(loss, beta=beta), state, OTHER.decoder, rows, 8, per_token=per_token
        )
        assert float(metrics["loss"]) == pytest.approx(value, rel=1e-4)
        assert float(metrics["rewards/margins"]) == pytest.approx(beta * gap.mean(), rel=1e-3, abs=1e-5)


def test_padding_changes_nothing(algorithm):
    rows = pair_rows(algorithm.pairs(), START)
    widen = partial(np.pad, pad_width=((0, 0), (0, 8)))
    tokens = (widen(x, constant_values=7) for x in (rows.observation, rows.action))
    wider = Answers(*tokens, widen(rows.mask))
    state = algorithm.init(jax.random.key(0))
    (a, first), (b, second) = algorithm._improve(state, rows, 8), algorithm._improve(state, wider, 8)
    for name, value in first.items():
        assert float(second[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-6)
    for x, y in zip(arrays(a.params), arrays(b.params), strict=True):
        np.testing.assert_allclose(x, y, atol=2e-3)  # Adam's first step has the size of the rate whatever the gradient


def test_pairs_that_do_not_count_teach_nothing(algorithm):
    rows = pair_rows(algorithm.pairs(), START)
    state, counts = algorithm.init(jax.random.key(0)), jnp.zeros(3, bool)
    loss = partial(dpo_loss, beta=algorithm.beta)
    after, metrics = eqx.filter_jit(pair_step)(algorithm, loss, state, OTHER.decoder, rows, 8, counts)
    assert float(metrics["loss"]) == 0.0
    assert same(state.params, after.params)


def test_the_start_is_never_changed(two_steps):
    fresh = new_model(NEW | {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "hidden": 64, "context": 32})
    assert same(fresh.decoder, START.decoder)
    _, once, *_ = two_steps
    assert not same(once.params, eqx.filter(START.decoder, eqx.is_inexact_array))


def test_adapters_alone_train(task):
    algorithm = DPO(task, START, batch_size=3, learning_rate=1e-2, warmup=0, lora_rank=2)
    state = algorithm.init(jax.random.key(0))
    after, _ = algorithm.step(state)
    names = {jax.tree_util.keystr(path)[-7:] for path, _ in jax.tree_util.tree_leaves_with_path(after.params)}
    assert names == {".lora_a", ".lora_b"}
    assert same(algorithm.policy(after).decoder.layers[0].attention.query.weight,
                START.decoder.layers[0].attention.query.weight)  # fmt: skip
    assert np.abs(algorithm.policy(after).decoder.layers[0].attention.query.lora_b).max() > 0


def test_a_resumed_run_makes_the_same_pairs_and_the_same_steps():
    unbroken = DPO(Bytes(), START, steps=4, batch_size=4, num_prompts=2, num_samples=4, learning_rate=1e-2)
    resumed = dataclasses.replace(unbroken, memory=Memory())
    state, _ = unbroken.step(unbroken.init(jax.random.key(5)))
    (a, first), (b, second) = unbroken.step(state), resumed.step(state)
    assert resumed.pairs() == unbroken.pairs()
    assert same((a.params, a.optimiser), (b.params, b.optimiser))
    assert first["loss"] == second["loss"]


def test_ipo_begins_at_the_square_of_the_gap_it_asks_for(task):
    algorithm = IPO(task, START, batch_size=3, beta=0.25, average=True, learning_rate=1e-2, warmup=0)
    state, first = algorithm.step(algorithm.init(jax.random.key(0)))
    _, second = algorithm.step(state)
    assert float(first["loss"]) == pytest.approx(4.0, rel=1e-5)
    assert float(second["loss"]) < 3.95


def test_wrong_hyper_parameters_are_refused(task):
    with pytest.raises(UsageError, match="loss is 'huber'"):
        DPO(task, START, loss="huber")
    with pytest.raises(UsageError, match="label_smoothing"):
        DPO(task, START, loss="robust", label_smoothing=0.5)
