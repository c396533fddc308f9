"""Accuracy, pass@k, perplexity and preferences of language models, against hand calculation and simulation."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.text_worlds import make_text
from puzzlebox.errors import UsageError
from puzzlebox.evaluation import held_out, language_evaluation, report
from puzzlebox.evaluation.evaluate import evaluate
from puzzlebox.runs.build import build, load_model
from puzzlebox.runs.configure import configure
from puzzlebox.stats.shares import interval, pass_at, weights
from puzzlebox.training.train import train

TINY = "new,layers=1,width=16,heads=2,kv_heads=2,hidden=16,context=64"


@pytest.mark.parametrize("right", [0, 3, 9])
def test_one_agents_interval_is_jeffreys(right):
    values = np.array([[1.0] * right + [0.0] * (9 - right)])
    exact = stats.beta(right + 0.5, 9 - right + 0.5).ppf([0.025, 0.975])
    np.testing.assert_allclose(interval(values), exact, atol=0.02)


def test_weights_sum_to_one_and_agents_mean_has_its_variance():
    agents, problems, unseen = weights(5, 7)
    np.testing.assert_allclose(agents.sum(axis=1), 1)
    np.testing.assert_allclose(problems.sum(axis=1) + unseen.sum(axis=1), 1)
    values = np.array([0.1, 0.5, 0.6, 0.9, 0.2])
    assert np.var(agents @ values) == pytest.approx(values.var(ddof=1) / 5, rel=0.1)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    generator, held, trials = np.random.default_rng(0), 0, 120
    for trial in range(trials):
        agents = generator.normal(0, 0.4, 5)[:, None] + generator.normal(0, 1, 60)[None]
        values = (generator.random((5, 60)) < 1 / (1 + np.exp(-1 - agents))).astype(float)
        low, high = interval(values, seed=trial)
        held += low <= truth() <= high
    assert held / trials > 0.87


def truth() -> float:
    """The mean of σ(1 + x), x ~ N(0, 0.4² + 1²), by quadrature."""
    x, w = np.polynomial.hermite_e.hermegauss(40)
    return float((w / (1 + np.exp(-1 - np.sqrt(1.16) * x))).sum() / w.sum())


def test_pass_at_k_by_hand():
    correct = np.array([[[1, 0, 0, 0], [0, 0, 0, 0]]])
    assert pass_at(correct, 1) == pytest.approx(1 / 8)
    assert pass_at(correct, 2) == pytest.approx((1 - 3 / 6) / 2)  # of the 6 pairs of samples 3 hold the right one
    assert pass_at(correct, 4) == pytest.approx(1 / 2)


def test_loss_of_a_model_that_knows_nothing_is_the_size_of_its_vocabulary(tmp_path):
    model = uniform(load_model(TINY))
    (tmp_path / "text.txt").write_text("puzzlebox " * 30)
    figures = held_out.text_figures([model], model, tmp_path / "text.txt")
    assert figures["text_tokens"] == 300
    assert figures["text_perplexity"] == pytest.approx(258, rel=1e-4)
    assert figures["perplexity_change"] == pytest.approx(0, abs=1e-6)


def uniform(model: LanguageModel) -> LanguageModel:
    return LanguageModel(
        jax.tree.map(lambda x: x * 0 if isinstance(x, jax.Array) else x, model.decoder), model.tokenizer
    )


def test_windows_count_every_token_once():
    model = load_model(TINY)
    tokens, mask = held_out.windows(model, ["abcdefg", "xy"], 3)
    assert [bytes(row[1:][m].tolist()) for row, m in zip(tokens, mask, strict=True)] == [b"abc", b"def", b"g", b"xy"]
    assert tokens[1, 0] == ord("c") and tokens[0, 0] == model.tokenizer.eos_id


def test_a_long_text_of_a_run_is_measured_in_windows_and_said_to_be_learned(tmp_path):
    (tmp_path / "book.txt").write_text("puzzlebox " * 30)
    config = configure("sft", str(tmp_path / "book.txt"), 1, 0, {"model": TINY, "length": 32})
    agents = build(config)
    agents.policy = lambda state, agent: uniform(load_model(TINY))
    scores, figures = held_out.figures(agents, None, 100, 0)
    assert figures["rows"] == scores.shape[1] == -(-301 // load_model(TINY).decoder.config.context)
    assert figures["perplexity"] == pytest.approx(258, rel=1e-4)
    assert figures["held_out"] is False
    assert held_out.held_out_lines(figures)[0].startswith("training loss 5.5")
    assert held_out.figures(agents, None, 2, 0)[1]["rows"] == 2


def test_likelihoods_agree_with_the_decoder_row_by_row():
    model = load_model(TINY)
    texts = [([1, 2, 3], [4, 5]), ([7], [8, 9, 10, 11])]
    sums, lengths = held_out.likelihoods([model], texts)
    assert lengths.tolist() == [2, 4]
    for total, (prompt, written) in zip(sums[0], texts, strict=True):
        ids = jnp.array([prompt + written])
        log_probs = jax.nn.log_softmax(model.decoder(ids))[0]
        by_hand = sum(float(log_probs[i, ids[0, i + 1]]) for i in range(len(prompt) - 1, ids.shape[1] - 1))
        assert total == pytest.approx(by_hand, abs=1e-4)


def test_a_model_that_is_no_run(tmp_path):
    figures = evaluate(TINY, task="tiny", samples=4, episodes=3)
    assert figures["env"] == "tiny" and figures["problems"] == 1
    assert list(figures["pass_at"]) == ["1", "2", "4"]
    assert json.dumps(figures)


def test_shots_stand_before_the_problem(monkeypatch):
    seen = []
    monkeypatch.setattr(language_evaluation, "answer", lambda model, prompts, *rest: seen.extend(prompts) or ["8"] * 2)
    evaluate(TINY, task="arith,level=sum", shots=2, episodes=2)
    assert all(len(prompt.splitlines()) == 3 and prompt.endswith("=") for prompt in seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no run, so say what"),
        ({"task": "arit"}, "did you mean arith"),
        ({"task": "arith", "shots": -1}, "shots is -1"),
        ({"task": "arith", "samples": 0}, "samples is 0"),
        ({"task": "arith", "samples": 2, "temperature": 0.0}, "all are the same"),
        ({"text": "missing.txt"}, "missing.txt"),
    ],
)
def test_wrong_requests_are_one_line(options, message):
    with pytest.raises(UsageError, match=message) as error:
        evaluate(TINY, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "option", [{"task": "arith"}, {"shots": 2}, {"samples": 4}, {"temperature": 0.0}, {"text": "x"}]
)
def test_what_is_for_language_models_is_refused_for_others(option, tmp_path):
    (name,) = option
    with pytest.raises(UsageError, match=f"--{name} is for language models, and .* trains none"):
        evaluate(tmp_path, **option)


def test_a_file_holds_out_prompts_not_rows(tmp_path):
    rows = [{"prompt": f"{i % 30}?", "completion": f"{i}"} for i in range(300)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = make_text(str(tmp_path / "rows.jsonl"))
    train, test = ({row.prompt for row in task.rows(split)} for split in ("train", "test"))
    assert train and test and not train & test


def test_held_out_loss_and_preferences_of_a_run(tmp_path):
    rows = [{"prompt": f"{i}?", "chosen": "yes", "rejected": "no"} for i in range(30)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = [{"text": f"the box {i}"} for i in range(30)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    options = {"model": TINY, "steps": 3, "learning_rate": 1e-2, "batch_size": 4, "warmup": 0, "quiet": True}
    figures = train("dpo", str(tmp_path / "pairs.jsonl"), run=tmp_path / "dpo", **options)
    assert figures["reward_accuracy"] == 1 and figures["margin"] > 0
    assert figures["margin"] == pytest.approx(figures["chosen_change"] - figures["rejected_change"], abs=1e-4)
    figures = train("sft", str(tmp_path / "texts.jsonl"), run=tmp_path / "sft", **options)
    assert 0 < figures["loss"] < figures["loss_start"]
    assert "held-out loss" in "\n".join(report.summary_lines(figures))


def test_file_without_verifier_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 8)
    with pytest.raises(UsageError, match="no verifier"):
        evaluate(TINY, task=str(tmp_path / "rows.jsonl"))
