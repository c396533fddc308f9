"""SPIN: the opponent changes when an iteration ends, is the reference until then, and loses to demonstrations."""

import math

import jax
import numpy as np
import pytest

from puzzlebox.algorithms.language.spin import SPIN
from puzzlebox.envs.text import make_task
from puzzlebox.errors import UsageError
from puzzlebox.runs.build import load_model
from puzzlebox.types import Example

START = load_model("new,layers=1,width=32,heads=2,kv_heads=2,hidden=64,context=32")
ALGORITHM = SPIN(make_task("tiny"), START, batch_size=8, iteration_length=2, learning_rate=1e-2, warmup=0)


@pytest.fixture(scope="module")
def run():
    """States 0 to 4 and the metrics of the steps between them."""
    states, metrics = [ALGORITHM.init(jax.random.key(1))], []
    for _ in range(4):
        state, figures = ALGORITHM.step(states[-1])
        states.append(state)
        metrics.append(figures)
    return states, metrics


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_the_opponent_is_the_start_and_then_the_player_of_the_iteration_before(run):
    states, _ = run
    assert same(states[0].opponent, states[0].params)
    assert same(states[1].opponent, states[2].opponent)
    assert same(states[3].opponent, states[2].params)
    assert same(states[4].opponent, states[2].params)


def test_each_iteration_begins_at_ln_2(run):
    _, metrics = run
    assert [float(metrics[i]["loss"]) for i in (0, 2)] == pytest.approx([math.log(2)] * 2, abs=1e-6)
    assert float(metrics[1]["loss"]) < math.log(2) > float(metrics[3]["loss"])


def test_demonstrations_become_likelier(run):
    _, metrics = run
    assert float(metrics[-1]["logps/chosen"]) > float(metrics[0]["logps/chosen"]) + 0.1
    assert float(metrics[0]["frac_same"]) == 0.0  # a random model never writes "aaa"


def test_adam_begins_anew_with_every_opponent(run):
    states, _ = run
    count = lambda state: max(int(x) for x in jax.tree.leaves(state.optimiser) if x.ndim == 0)  # noqa: E731
    assert [count(state) for state in states] == [0, 1, 2, 1, 2]


def test_a_resumed_run_continues_bit_for_bit(run):
    states, _ = run
    again, _ = ALGORITHM.step(states[2])
    assert same(
        (again.params, again.optimiser, again.opponent), (states[3].params, states[3].optimiser, states[2].params)
    )


def test_without_demonstrations_there_is_nothing_to_imitate():
    class Silent:
        chat, max_tokens = False, 3

        def examples(self, split, count, seed):
            return [Example("=", "a")]

    with pytest.raises(UsageError, match="no demonstrations"):
        SPIN(Silent(), START)
