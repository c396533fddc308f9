"""DPO and IPO with the preferences of a whole population end at the policy that their papers say they end at.

The completions of a tiny language can be listed. Preferences follow Bradley and Terry with a known reward, and every
pair is compared, so nothing is left to chance. A model that knows other texts too is measured on the listed ones alone.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.language.dpo import DPO
from puzzlebox.algorithms.language.fine_tuning import State
from puzzlebox.algorithms.language.preferences import log_probs, pair_step
from puzzlebox.data.preferences import answer_rows
from puzzlebox.envs.text import make_task
from puzzlebox.ops.language_mdp import regularised_optimum, sequence_kl
from puzzlebox.ops.preference_losses import dpo_loss
from puzzlebox.runs.build import load_model

START = load_model("new,layers=1,width=32,heads=2,kv_heads=2,hidden=64,context=32")
BETA = 0.5


def ipo_population_loss(chosen, rejected, beta, probability):
    """IPO's mean over the label: the better one is preferred with ``probability``."""
    gap, wanted = chosen - rejected, 0.5 / beta
    return probability * jnp.square(gap - wanted) + (1 - probability) * jnp.square(-gap - wanted)


@pytest.mark.parametrize("name", ["dpo", "ipo"])
def test_the_policy_ends_at_the_exact_optimum(name):
    task, tokenizer = make_task("tiny,length=2"), START.tokenizer
    texts = [text for text in task.completions() if len(text) == 2]  # a random model finds them about equally likely
    reward = np.array([task.score(text) for text in texts])
    ids = [[*tokenizer.encode(text), tokenizer.eos_id] for text in texts]
    prompt = START.encode("=")
    first, second = np.triu_indices(len(texts), k=1)
    probability = 1 / (1 + np.exp(-(reward[first] - reward[second])))  # that the first one is preferred
    rows = answer_rows([prompt] * 2 * len(first), [ids[i] for i in first] + [ids[i] for i in second], START)
    everything = answer_rows([prompt] * len(texts), ids, START)
    listed = eqx.filter_jit(lambda decoder: jax.nn.log_softmax(log_probs(decoder, everything, 8)))
    reference = listed(START.decoder)
    if name == "dpo":
        loss, goal = partial(dpo_loss, beta=BETA, label_smoothing=jnp.asarray(1 - probability)), reward
    else:  # every text meets every other one once: the goal is how often it wins, ties with itself are a half
        loss = partial(ipo_population_loss, beta=BETA, probability=jnp.asarray(probability))
        goal = (1 / (1 + np.exp(reward[None] - reward[:, None]))).mean(axis=1)
    optimum = regularised_optimum(jnp.asarray(goal), reference, BETA).log_prob
    algorithm = DPO(task, START, beta=BETA, learning_rate=3e-3, warmup=10, steps=600)
    state = algorithm.init(jax.random.key(0))

    @eqx.filter_jit
    def step(state: State) -> State:
        return pair_step(algorithm, loss, state, START.decoder, rows, 8)[0]

    away = float(sequence_kl(reference, optimum))
    for _ in range(600):
        state = step(state)
    left = float(sequence_kl(listed(algorithm.policy(state).decoder), optimum))
    assert away > 0.02
    assert left < away / 200
