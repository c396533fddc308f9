"""Log-probabilities and entropies against NumPy, one token at a time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

import puzzlebox.acting.score as module
from puzzlebox.acting.score import score, score_groups, widths
from puzzlebox.data.packing import EncodedText, pack
from puzzlebox.nets.decoder import Decoder, DecoderConfig

CONFIG = DecoderConfig(
    vocab_size=11, width=32, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=8, hidden=48, context=64
)
DECODER = jax.tree.map(lambda x: x * 4 if x.ndim == 2 else x, Decoder(CONFIG, jax.random.key(0)))
TOKENS = np.random.default_rng(0).integers(0, 11, (3, 13))
MASK = np.random.default_rng(1).random((3, 12)) < 0.4


def by_hand(temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    log_probs = log_softmax(np.asarray(DECODER(jnp.asarray(TOKENS[:, :-1])), np.float64) / temperature, axis=-1)
    chosen = np.take_along_axis(log_probs, TOKENS[:, 1:, None], axis=-1)[..., 0]
    return np.where(MASK, chosen, 0), np.where(MASK, -(np.exp(log_probs) * log_probs).sum(-1), 0)


SCORE = eqx.filter_jit(score)


def scored(**settings):
    return SCORE(DECODER, jnp.asarray(TOKENS[:, :-1]), jnp.asarray(TOKENS[:, 1:]), jnp.asarray(MASK), **settings)


@pytest.mark.parametrize("count", [None, int(MASK.sum(axis=1).max()), 100])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_log_probabilities_and_entropies(count, temperature):
    log_prob, entropy = scored(count=count, temperature=jnp.float32(temperature))
    np.testing.assert_allclose(log_prob, by_hand(temperature)[0], atol=1e-5)
    np.testing.assert_allclose(entropy, by_hand(temperature)[1], atol=1e-5)
    assert np.std(np.asarray(log_prob)[MASK]) > 0.1


def test_logits_made_in_parts_are_the_same_and_so_is_the_gradient(monkeypatch):
    def loss(decoder):
        return score(decoder, jnp.asarray(TOKENS[:, :-1]), jnp.asarray(TOKENS[:, 1:]), jnp.asarray(MASK))[0].sum()

    value, gradient = eqx.filter_jit(jax.value_and_grad(loss))(DECODER)
    monkeypatch.setattr(module, "MOST_LOGITS", 1)
    in_parts, gradient_in_parts = eqx.filter_jit(jax.value_and_grad(lambda d: loss(d)))(DECODER)
    np.testing.assert_allclose(value, in_parts, rtol=1e-5)
    np.testing.assert_allclose(value, by_hand()[0].sum(), rtol=1e-5)
    for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(gradient_in_parts), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_texts_that_share_a_row_do_not_see_each_other():
    texts = [EncodedText([int(t) for t in TOKENS[i, :n]], [True] * n) for i, n in enumerate((6, 4, 5))]
    rows = pack(texts, 12, 0)
    assert rows.mask.shape == (1, 12)
    log_prob, _ = SCORE(DECODER, *map(jnp.asarray, rows[:3]), positions=rows.positions, segments=rows.segments)
    for number, text in enumerate(sorted(texts, key=lambda t: -len(t.tokens)), 1):
        length = len(text.tokens) - 1
        tokens = jnp.zeros((1, 13), int).at[0, : length + 1].set(jnp.asarray(text.tokens))
        alone, _ = SCORE(DECODER, tokens[:, :-1], tokens[:, 1:], jnp.arange(12)[None] < length)
        np.testing.assert_allclose(np.asarray(log_prob)[rows.segments == number], alone[0, :length], atol=1e-5)


def test_what_follows_changes_nothing_before():
    other = TOKENS.copy()
    other[:, 7:] = (other[:, 7:] + 1) % 11
    changed, _ = SCORE(DECODER, jnp.asarray(other[:, :-1]), jnp.asarray(other[:, 1:]), jnp.asarray(MASK))
    np.testing.assert_allclose(changed[:, :6], scored()[0][:, :6], atol=1e-6)
    assert np.abs(changed[:, 7:] - scored()[0][:, 7:]).max() > 1e-2


GROUPED = {"begins": [5, 5, 5, 2, 2, 2], "lengths": [4, 7, 1, 6, 3, 7]}  # the last tokens of the prompts, completions


def grouped_rows(pad: int):
    """Two groups of three completions behind prompts of six and three tokens; ``pad`` behind them."""
    rng = np.random.default_rng(2)
    tokens = np.full((6, 13), pad)
    mask = np.zeros((6, 12), bool)
    for row, (begin, length) in enumerate(zip(*GROUPED.values(), strict=True)):
        same = np.random.default_rng(3 + row // 3)
        tokens[row, : begin + 1] = same.integers(0, 11, begin + 1)
        tokens[row, begin + 1 : begin + 1 + length] = rng.integers(0, 11, length)
        mask[row, begin : begin + length] = True
    return jnp.asarray(tokens[:, :-1]), jnp.asarray(tokens[:, 1:]), jnp.asarray(mask)


@pytest.mark.parametrize("kind", [{}, {"positions": "learned"}, {"windows": (0, 4)}])
def test_a_prompt_read_once_for_its_group_gives_the_same_numbers_and_the_same_gradient(kind):
    decoder = Decoder(CONFIG._replace(**kind), jax.random.key(0))
    decoder = jax.tree.map(lambda x: x * 4 if x.ndim == 2 else x, decoder)
    rows = grouped_rows(pad=10)
    weight = jnp.asarray(np.random.default_rng(4).normal(size=(2, 6, 12)))

    def whole(decoder):
        return score(decoder, *rows, temperature=0.7)

    def shared(decoder):
        return score_groups(decoder, *rows, 3, widths(rows[2]), 0.7)

    assert widths(rows[2]) == (8, 8)
    for one, other in zip(eqx.filter_jit(whole)(decoder), eqx.filter_jit(shared)(decoder), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        assert (np.asarray(one) != 0).sum() == sum(GROUPED["lengths"])

    def gradient(scored):
        loss = lambda decoder: sum((w * x).sum() for w, x in zip(weight, scored(decoder), strict=True))  # noqa: E731
        return jax.tree.leaves(eqx.filter_jit(jax.grad(loss))(decoder))

    for one, other in zip(gradient(whole), gradient(shared), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
