"""STaR: what is kept, what is learned, how it resumes and when it gets harder; the attempts are written by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.language.star import STaR
from puzzlebox.data.packing import EncodedText
from puzzlebox.envs.text import make_task
from puzzlebox.errors import PuzzleboxError, UsageError
from puzzlebox.runs import checkpoint
from puzzlebox.runs.build import load_model

START = load_model("new,layers=1,width=16,heads=2,kv_heads=2,hidden=32,context=64")
TINY = STaR(make_task("tiny,length=1"), START, num_problems=4, updates=10, batch_size=2, learning_rate=1e-2)


def by_hand(monkeypatch, solves):
    """Attempts are right where ``solves(env, prompt)`` says so; returns what was fine-tuned on, round by round."""
    learned = []

    def attempt(self, state, env, examples, prompts, key):
        texts = []
        for example, prompt in zip(examples, prompts, strict=True):
            ids, answer = START.encode(example.prompt), START.encode(example.completion)
            text = EncodedText(ids + answer, [False] * len(ids) + [True] * len(answer))
            texts.append(text if solves(env, prompt) else None)
        return texts

    def fine_tune(self, state, texts, updates):
        learned.append((texts, updates))
        return state.params, 0.5

    monkeypatch.setattr(STaR, "_try", attempt)
    monkeypatch.setattr(STaR, "_fine_tune", fine_tune)
    return learned


def test_only_right_attempts_are_learned_and_each_round_takes_a_fifth_more_steps(monkeypatch):
    algorithm = STaR(make_task("arith"), START, num_problems=40, updates=10)
    learned = by_hand(monkeypatch, lambda env, prompt: prompt.startswith("1"))
    state = algorithm.init(jax.random.key(0))
    for _ in range(3):
        state, metrics = algorithm.step(state)
        assert metrics["kept"] == len(learned[-1][0]) > 0
        assert all(START.decode(text.tokens).startswith("1") for text in learned[-1][0])
        np.testing.assert_allclose(metrics["accuracy"], metrics["kept"] / 40)
    assert [updates for _, updates in learned] == [10, 12, 14]
    assert (metrics["round"], metrics["level"], metrics["rationalised"]) == (3, 0, 0)


def test_what_a_hint_solves_is_learned_without_the_hint(monkeypatch):
    algorithm = STaR(make_task("arith"), START, num_problems=20, rationalise=True)
    learned = by_hand(monkeypatch, lambda env, prompt: prompt.startswith("#"))
    _, metrics = algorithm.step(algorithm.init(jax.random.key(0)))
    assert (metrics["accuracy"], metrics["kept"], metrics["rationalised"]) == (0, 0, 20)
    assert not any("#" in START.decode(text.tokens) for text in learned[0][0])


def test_levels_get_harder_once_the_newest_is_solved_and_old_ones_stay(monkeypatch):
    algorithm = STaR(make_task("arith,level=precedence"), START, num_problems=40, next_level=0.9)
    seen = []

    def solves(env, prompt):
        seen.append(env.level)
        return env.level == "precedence"

    by_hand(monkeypatch, solves)
    state = algorithm.init(jax.random.key(0))
    state, first = algorithm.step(state)
    assert (first["level"], first["accuracy"], set(seen)) == (0, 1, {"precedence"})
    seen.clear()
    for _ in range(2):
        state, metrics = algorithm.step(state)
        assert (metrics["level"], metrics["accuracy"], metrics["kept"]) == (1, 0, 20)
    assert seen.count("precedence") == seen.count("brackets") == 40


def test_a_round_fine_tunes_the_start_and_a_restored_state_goes_on_bit_for_bit(tmp_path):
    state = TINY.init(jax.random.key(0))
    demonstration = START.encode("=") + START.encode("a") + [START.tokenizer.eos_id]
    text = EncodedText(demonstration, [False] * (len(demonstration) - 2) + [True] * 2)
    params, loss = TINY._fine_tune(state, [text] * 3, 30)
    state = state._replace(params=params)  # a model that solves it now and then
    again, _ = TINY._fine_tune(state, [text] * 3, 30)
    assert all(jnp.array_equal(a, b) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True))
    assert loss < 1.0
    checkpoint.save(tmp_path, 1, state, {})
    restored, _, _ = checkpoint.load_newest(tmp_path, eqx.filter_eval_shape(TINY.init, jax.random.key(0)))
    ahead, same = TINY.step(state), TINY.step(restored)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(jnp.all(a == b)), ahead, same)))
    assert ahead[1]["kept"] > 0


def test_a_model_that_solves_nothing_is_told_so(monkeypatch):
    by_hand(monkeypatch, lambda env, prompt: False)
    with pytest.raises(PuzzleboxError, match="none of the 4 attempts was right"):
        TINY.step(TINY.init(jax.random.key(0)))


def test_a_task_without_levels_cannot_get_harder():
    with pytest.raises(UsageError, match="this task has no levels"):
        STaR(make_task("tiny"), START, next_level=0.5)
