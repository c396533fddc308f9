"""The decoder against numpy loops written from the definitions, and its laws: cache, padding, packing, causality."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.nets.decoder import Decoder, DecoderConfig, attention, frequencies, rotate, rotation

PLAIN = DecoderConfig(
    23, width=16, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=4, hidden=24, context=32, rope_base=50.0
)
GEMMA = PLAIN._replace(sandwich=True, qk_norm=True, attention_softcap=2.0, logit_softcap=3.0, embed_scale=4.0)
GEMMA = GEMMA._replace(windows=(3, 0), rope_local_base=10.0, query_scale=0.3, activation="gelu_tanh")
GPT2 = PLAIN._replace(norm="layer", gated=False, positions="learned", num_kv_heads=4, activation="gelu_tanh")
GPT2 = GPT2._replace(qkv_bias=True, out_bias=True, mlp_bias=True)
NEOX = GPT2._replace(positions="rope", parallel=True, rope_fraction=0.5, tied=False, activation="gelu")
CONFIGS = {
    "plain": PLAIN,
    "window": PLAIN._replace(windows=(3, 3), qkv_bias=True, rope_scaling=("linear", 4.0)),
    "gemma": GEMMA,
    "gpt2": GPT2,
    "gpt_neox": NEOX,
}


def make(config):
    rng = np.random.default_rng(0)
    outline = eqx.filter_eval_shape(Decoder, config, jax.random.key(0))
    return jax.tree.map(lambda x: jnp.asarray(0.4 * rng.standard_normal(x.shape), jnp.float32), outline)


def tokens(*shape):
    return np.random.default_rng(1).integers(0, 23, shape)


@eqx.filter_jit
def run(decoder, rows, positions=None, segments=None):
    return decoder(rows, positions, segments)


@eqx.filter_jit
def extend(decoder, rows, cache):
    x, cache = decoder.extend(rows, cache)
    return decoder.logits(x), cache


each = pytest.mark.parametrize("name", CONFIGS)


class TestNumbers:
    def test_rotation_turns_each_pair_by_its_angle(self):
        config = PLAIN._replace(head_dim=6, rope_fraction=4 / 6, rope_base=100.0)
        x = np.random.default_rng(0).standard_normal((2, 3, 5, 6)).astype(np.float32)
        positions = np.array([[0, 1, 2, 3, 4], [0, 0, 0, 1, 7]])
        found = rotate(jnp.asarray(x), *rotation(frequencies(config, config.rope_base, ()), jnp.asarray(positions)))
        expected = x.copy()
        for b, h, t in np.ndindex(2, 3, 5):
            for i in range(2):  # pairs (0, 2) and (1, 3); 4 and 5 stay
                angle = positions[b, t] * 100.0 ** (-2 * i / 4)
                turned = complex(x[b, h, t, i], x[b, h, t, i + 2]) * np.exp(1j * angle)
                expected[b, h, t, i], expected[b, h, t, i + 2] = turned.real, turned.imag
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_scaled_frequencies_by_hand(self):
        config = PLAIN._replace(head_dim=8)
        plain = 10_000.0 ** -(np.arange(4) / 4)
        np.testing.assert_allclose(frequencies(config, 1e4, ()), plain, rtol=1e-6)
        np.testing.assert_allclose(frequencies(config, 1e4, ("linear", 4.0)), plain / 4, rtol=1e-6)
        # In 100 tokens the waves turn 15.9, 1.59, 0.159, 0.0159 times: below 1 slowed, above 4 kept, else blended.
        blend = (100 * plain[1] / (2 * np.pi) - 1) / 3
        expected = [plain[0], plain[1] * (blend + (1 - blend) / 8), plain[2] / 8, plain[3] / 8]
        np.testing.assert_allclose(frequencies(config, 1e4, ("llama3", 8.0, 1.0, 4.0, 100)), expected, rtol=1e-6)

    @pytest.mark.parametrize("cap", [0.0, 1.5])
    def test_attention_by_loops(self, cap):
        config = PLAIN._replace(attention_softcap=cap)
        rng = np.random.default_rng(0)
        query, key, value = (rng.standard_normal((2, h, t, 4)) for h, t in ((4, 3), (2, 5), (2, 5)))
        mask = rng.random((3, 5)) < 0.7
        mask[:, 0] = True
        found = attention(config, *(jnp.asarray(x, jnp.float32) for x in (query, key, value)), jnp.asarray(mask))
        for b, h, t in np.ndindex(2, 4, 3):
            scores = np.array([query[b, h, t] @ key[b, h // 2, s] / 2 for s in range(5)])
            scores = cap * np.tanh(scores / cap) if cap else scores
            weights = np.where(mask[t], np.exp(scores), 0)
            expected = sum(weights[s] * value[b, h // 2, s] for s in range(5)) / weights.sum()
            np.testing.assert_allclose(found[b, h, t], expected, atol=1e-5)

    def test_one_token_of_one_layer_by_hand(self):
        """A first token attends to itself alone, so attention is its value."""
        config = PLAIN._replace(num_layers=1, num_kv_heads=4)
        decoder = make(config)
        layer = jax.tree.map(np.asarray, decoder.layers[0])
        embedding = np.asarray(decoder.embedding)

        def norm(x, weight):
            return x / np.sqrt(np.mean(x**2) + 1e-5) * weight

        x = embedding[5]
        x = x + norm(x, layer.attention_norm.weight) @ layer.attention.value.weight.T @ layer.attention.out.weight.T
        y = norm(x, layer.feed_forward_norm.weight)
        gate = y @ layer.feed_forward.gate.weight.T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ layer.feed_forward.up.weight.T)) @ layer.feed_forward.down.weight.T
        expected = norm(x, np.asarray(decoder.norm.weight)) @ embedding.T
        np.testing.assert_allclose(run(decoder, np.array([[5]]))[0, 0], expected, atol=1e-4)

    def test_number_of_parameters(self):
        decoder = make(PLAIN)
        attended = 16 * 16 + 2 * 16 * 8 + 16 * 16
        expected = 23 * 16 + 2 * (attended + 3 * 16 * 24 + 2 * 16) + 16
        assert sum(x.size for x in jax.tree.leaves(decoder)) == expected

    def test_a_new_model_starts_near_the_uniform_distribution(self):
        decoder = eqx.filter_jit(Decoder)(PLAIN, jax.random.key(0))
        log_prob = jax.nn.log_softmax(run(decoder, tokens(2, 10)))
        assert -(np.exp(log_prob) * log_prob).sum(axis=-1).min() > 0.9 * np.log(23)
        assert float(decoder.layers[0].attention.out.weight.std()) == pytest.approx(0.0625, rel=0.2)  # ½ / √16 / √4
        assert float(decoder.layers[0].attention.query.weight.std()) == pytest.approx(0.125, rel=0.2)  # ½ / √16


class TestLaws:
    @each
    def test_a_token_sees_nothing_that_comes_later(self, name):
        decoder, rows = make(CONFIGS[name]), tokens(2, 10)
        changed = rows.copy()
        changed[:, 5] = (rows[:, 5] + 1) % 23
        before, after = run(decoder, rows), run(decoder, changed)
        np.testing.assert_array_equal(before[:, :5], after[:, :5])
        assert (np.abs(before[:, 5:] - after[:, 5:]).max(-1) > 1e-4).all()

    @each
    def test_cache_equals_no_cache_in_pieces_and_one_by_one(self, name):
        decoder, rows = make(CONFIGS[name]), tokens(2, 10)
        cache = decoder.empty_cache(jnp.zeros(2, jnp.int32), 12)
        parts = []
        for start, end in ((0, 6), (6, 7), (7, 8), (8, 9), (9, 10)):
            logits, cache = extend(decoder, rows[:, start:end], cache)
            parts.append(logits)
        np.testing.assert_allclose(np.concatenate(parts, axis=1), run(decoder, rows), atol=2e-5)
        assert int(cache.length) == 10

    @each
    def test_padding_on_the_left_changes_nothing(self, name):
        decoder, rows = make(CONFIGS[name]), tokens(2, 10)
        padded = tokens(2, 12)
        padded[0, 2:] = rows[0]
        cache = decoder.empty_cache(jnp.array([2, 0]), 12)
        first, cache = extend(decoder, padded[:, :6], cache)
        second, _ = extend(decoder, padded[:, 6:], cache)
        np.testing.assert_allclose(np.concatenate([first[0, 2:], second[0]]), run(decoder, rows)[0], atol=2e-5)

    @each
    def test_packed_texts_are_as_if_alone(self, name):
        decoder, rows = make(CONFIGS[name]), tokens(2, 10)
        segments = np.array([[0] * 6 + [1] * 4] * 2)
        positions = np.array([[*range(6), *range(4)]] * 2)
        packed = run(decoder, rows, positions, segments)
        np.testing.assert_allclose(packed[:, :6], run(decoder, rows)[:, :6], atol=2e-5)
        alone = run(decoder, np.concatenate([rows[:, 6:], rows[:, :6]], axis=1))
        np.testing.assert_allclose(packed[:, 6:], alone[:, :4], atol=2e-5)

    def test_a_window_as_long_as_the_text_is_no_window(self):
        decoder, row = make(PLAIN), tokens(2, 10)
        wide = eqx.tree_at(lambda m: m.layers, make(PLAIN._replace(windows=(10, 10))), decoder.layers)
        np.testing.assert_array_equal(run(wide, row), run(decoder, row))

    def test_one_layer_with_a_window_forgets_what_is_before_it(self):
        decoder, row = make(PLAIN._replace(num_layers=1, windows=(3,))), tokens(1, 8)
        changed = row.copy()
        changed[0, 4] = (row[0, 4] + 1) % 23
        seen = np.abs(run(decoder, row)[0] - run(decoder, changed)[0]).max(-1) > 0
        assert seen.tolist() == [False] * 4 + [True] * 3 + [False]

    def test_rotary_positions_count_only_distances(self):
        decoder, row = make(PLAIN), tokens(2, 10)
        shifted = run(decoder, row, np.arange(10)[None] + 11)
        np.testing.assert_allclose(shifted, run(decoder, row), atol=2e-5)
        learned = make(GPT2)
        assert np.abs(run(learned, row, np.arange(10)[None] + 11) - run(learned, row)).max() > 0.1

    def test_grouped_heads_are_repeated_heads(self):
        grouped, row = make(PLAIN), tokens(2, 10)

        def repeat(layer):
            weight = layer.weight.reshape(2, 4, 16).repeat(2, axis=0).reshape(16, 16)
            return eqx.tree_at(lambda x: x.weight, layer, weight)

        layers = [
            eqx.tree_at(
                lambda x: (x.attention.key, x.attention.value), x, (repeat(x.attention.key), repeat(x.attention.value))
            )
            for x in grouped.layers
        ]
        whole = make(PLAIN._replace(num_kv_heads=4))
        whole = eqx.tree_at(lambda m: (m.embedding, m.layers, m.norm), whole, (grouped.embedding, layers, grouped.norm))
        np.testing.assert_allclose(run(whole, row), run(grouped, row), atol=2e-5)

    def test_softcaps_bound_the_logits(self):
        assert np.abs(run(make(GEMMA), tokens(2, 10))).max() < 3.0

    def test_half_precision_gives_float32_logits_near_those_of_float32(self):
        decoder, rows = make(PLAIN), tokens(2, 10)
        half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), decoder)
        logits = run(half, rows)
        assert logits.dtype == jnp.float32
        whole = run(decoder, rows)
        assert np.abs(logits - whole).max() < 0.1 * np.abs(whole).max()
        assert half.empty_cache(jnp.zeros(2, jnp.int32), 4).keys[0].dtype == jnp.bfloat16
