"""Generation against a loop without a cache, and what it records against what the trainer computes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from puzzlebox.acting.generate import (
    LARGE,
    Sampling,
    completion_ids,
    draw_index,
    draw_token,
    filter_logits,
    generate,
    trim,
)
from puzzlebox.acting.score import score
from puzzlebox.data.packing import bucket
from puzzlebox.errors import UsageError
from puzzlebox.nets.decoder import Decoder, DecoderConfig
from puzzlebox.nets.linear import add_lora, is_linear

CONFIG = DecoderConfig(
    vocab_size=13, width=32, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=8, hidden=48, context=96, tied=False
)
GREEDY = Sampling(0.0)
PROMPTS = [[3, 1, 4], [1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7], [2]]


def sharp(config: DecoderConfig = CONFIG, seed: int = 0) -> Decoder:
    """A new model whose predictions are far from uniform, so that rounding cannot change the likeliest token."""
    return jax.tree.map(lambda x: 12 * x if x.ndim == 2 else x, Decoder(config, jax.random.key(seed)))


def with_adapters(decoder: Decoder) -> Decoder:
    adapted = add_lora(decoder, 3, 6.0, ("all",), jax.random.key(1))
    layers = lambda d: [x for x in jax.tree.leaves(d, is_leaf=is_linear) if is_linear(x)]  # noqa: E731
    return eqx.tree_at(
        lambda d: [x.lora_b for x in layers(d)],
        adapted,
        [0.1 * jax.random.normal(jax.random.key(i), x.lora_b.shape) for i, x in enumerate(layers(adapted))],
    )


DECODER = sharp()


def likeliest(decoder: Decoder, prompt: list[int], count: int, stops: tuple[int, ...] = ()) -> list[int]:
    """Reads everything again for every token."""
    row = list(prompt)
    for _ in range(count):
        padded = jnp.zeros((1, 64), jnp.int32).at[0, : len(row)].set(jnp.array(row))
        row.append(int(jnp.argmax(READ(decoder, padded)[0, len(row) - 1])))
        if row[-1] in stops:
            break
    return row[len(prompt) :]


READ = eqx.filter_jit(lambda decoder, tokens: decoder(tokens))


def write(prompts=PROMPTS, key=0, decoder=DECODER, max_tokens=20, **settings):
    return generate(decoder, prompts, jax.random.key(key), max_tokens=max_tokens, **settings)


def test_greedy_is_the_likeliest_token_after_everything_before():
    written = completion_ids(write(sampling=GREEDY))
    assert written == [likeliest(DECODER, prompt, 20) for prompt in PROMPTS]
    assert len({tuple(row) for row in written}) == 3


def test_prompts_of_different_length_do_not_touch_each_other():
    together = write(sampling=GREEDY)
    for row, prompt in enumerate(PROMPTS):
        alone = write([prompt] * 3, sampling=GREEDY)
        assert completion_ids(alone) == [completion_ids(together)[row]] * 3
        one, other = (np.asarray(t.log_prob)[row][np.asarray(t.mask)[row]] for t in (alone, together))
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_row_is_its_prompt_and_then_its_completion():
    trajectory = write()
    for row, prompt in enumerate(PROMPTS):
        observation, action, mask = (np.asarray(x)[row] for x in (trajectory[0], trajectory[1], trajectory.mask))
        whole = prompt + completion_ids(trajectory)[row]
        assert observation[: len(whole) - 1].tolist() == whole[:-1]
        assert action[: len(whole) - 1].tolist() == whole[1:]
        assert np.flatnonzero(mask).tolist() == list(range(len(prompt) - 1, len(whole) - 1))
    assert not np.any(trajectory.reward)
    np.testing.assert_array_equal(trajectory.next_observation, trajectory.action)


def test_a_group_shares_its_prompt():
    shared = write(PROMPTS[:2], sampling=GREEDY, group=3)
    repeated = write([PROMPTS[0]] * 3 + [PROMPTS[1]] * 3, sampling=GREEDY)
    for one, other in zip(*map(jax.tree.leaves, (shared, repeated)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_sampled_group_differs_within():
    rows = completion_ids(write(PROMPTS[:2], group=3))
    assert len({tuple(row) for row in rows}) == 6
    assert rows == completion_ids(write(PROMPTS[:2], group=3))
    assert rows != completion_ids(write(PROMPTS[:2], group=3, key=1))


def test_each_row_stops_at_its_own_stop_token():
    free = [likeliest(DECODER, prompt, 20) for prompt in PROMPTS]
    stops = (free[0][2], 12 if 12 not in free[0][:3] else 11)
    trajectory = write(sampling=GREEDY, stop_ids=stops)
    assert completion_ids(trajectory) == [likeliest(DECODER, prompt, 20, stops) for prompt in PROMPTS]
    lengths = [len(row) for row in completion_ids(trajectory)]
    assert lengths[0] <= 3
    assert max(lengths) > min(lengths)
    for row, prompt in enumerate(PROMPTS):
        ended = completion_ids(trajectory)[row][-1] in stops
        last = len(prompt) - 2 + lengths[row]
        assert np.flatnonzero(trajectory.terminated[row]).tolist() == [last] * ended
        assert np.flatnonzero(trajectory.truncated[row]).tolist() == [last] * (not ended)
    assert not np.asarray(trajectory.log_prob)[~np.asarray(trajectory.mask)].any()


def test_the_padding_token_may_also_be_the_one_that_stops():
    stop = likeliest(DECODER, PROMPTS[0], 20)[1]
    one, other = (write(sampling=GREEDY, stop_ids=(stop, stop), pad_id=pad) for pad in (stop, 0))
    assert completion_ids(one) == completion_ids(other)
    np.testing.assert_array_equal(one.truncated, other.truncated)


def text(ids: list[int]) -> str:
    """Tokens are one or two letters long, so that a stop string may begin and end inside of tokens."""
    return "".join("abcdefghijklm"[i] * (1 + i % 2) for i in ids)


@pytest.mark.parametrize("at", [4, 30])
def test_a_stop_string_that_straddles_tokens(at):
    free = likeliest(DECODER, PROMPTS[0], 40)
    word = text(free[: at + 1])[-3:]  # spans at least two tokens
    count = next(n for n in range(41) if word in text(free[:n]))
    trajectory = write(sampling=GREEDY, max_tokens=40, finished=lambda ids: word in text(ids))
    assert completion_ids(trajectory)[0] == free[:count]
    assert np.flatnonzero(trajectory.terminated[0]).tolist() == [len(PROMPTS[0]) - 2 + count]
    assert not np.any(trajectory.truncated[0])
    for row, prompt in enumerate(PROMPTS[1:], 1):
        whole = likeliest(DECODER, prompt, 40)
        ends = next((n for n in range(1, 41) if word in text(whole[:n])), 40)
        assert completion_ids(trajectory)[row] == whole[:ends]
        assert bool(np.any(trajectory.truncated[row])) == (word not in text(whole))


SCORE = eqx.filter_jit(score)


def check_drift(decoder: Decoder, temperature: float):
    trajectory = write(decoder=decoder, sampling=Sampling(temperature, top_k=6, top_p=0.9), stop_ids=(7, 8))
    trained, _ = SCORE(
        decoder, trajectory.observation, trajectory.action, trajectory.mask, 20, jnp.float32(temperature or 1.0)
    )
    np.testing.assert_allclose(trained, trajectory.log_prob, atol=1e-4)
    assert np.asarray(trajectory.log_prob)[np.asarray(trajectory.mask)].min() < -0.1
    return trajectory


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 1.7])
def test_what_the_sampler_records_is_what_the_trainer_computes(temperature):
    check_drift(DECODER, temperature)


def test_adapters_change_that_nothing():
    trajectory = check_drift(with_adapters(DECODER), 1.0)
    without, _ = SCORE(DECODER, trajectory.observation, trajectory.action, trajectory.mask, 20, jnp.float32(1.0))
    assert np.abs(without - trajectory.log_prob).max() > 0.05


def by_sorting(logits: np.ndarray, top_k: int, top_p: float) -> np.ndarray:
    """The definition, for logits without ties."""
    kept = np.full(logits.shape, -np.inf)
    for row, values in enumerate(logits):
        order = np.argsort(-values)[: top_k or None]
        probs = np.exp(values[order] - values[order].max())
        probs = probs / probs.sum()
        enough = int(np.searchsorted(np.cumsum(probs), top_p)) + 1 if top_p < 1 else len(order)
        kept[row, order[:enough]] = values[order[:enough]]
    return kept


@pytest.mark.parametrize("top_k", [0, 1, 5, 1000])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 1.0])
def test_top_k_and_top_p_keep_what_sorting_keeps(top_k, top_p):
    logits = 3 * np.random.default_rng(0).normal(size=(8, 101)).astype(np.float32)
    np.testing.assert_array_equal(filter_logits(jnp.asarray(logits), top_k, top_p), by_sorting(logits, top_k, top_p))


@pytest.mark.parametrize("sampling", [Sampling(1.0), Sampling(0.6), Sampling(2.0, top_k=5), Sampling(1.0, 0, 0.8)])
def test_tokens_come_as_often_as_their_probability_says(sampling):
    logits = 1.5 * np.random.default_rng(1).normal(size=12).astype(np.float32)
    rows = jnp.tile(logits, (20_000, 1))
    token, log_prob = jax.jit(draw_token, static_argnums=(3, 4))(rows, jax.random.key(0), *sampling)
    kept = by_sorting(logits[None] / sampling.temperature, *sampling[1:])[0]
    probs = np.exp(kept - kept.max()) / np.exp(kept - kept.max()).sum()
    counts = np.bincount(token, minlength=12)
    assert counts[probs == 0].sum() == 0
    assert stats.chisquare(counts[probs > 0], 20_000 * probs[probs > 0] / probs.sum()).pvalue > 0.01
    whole = logits / sampling.temperature
    np.testing.assert_allclose(log_prob, (whole - np.log(np.exp(whole).sum()))[token], atol=1e-5)


def test_lengths_within_a_bucket_and_temperatures_share_one_program(monkeypatch):
    decoder = sharp(CONFIG._replace(context=95))
    traces, extend = [], Decoder.extend

    def counted(self, tokens, cache):
        traces.append(tokens.shape)
        return extend(self, tokens, cache)

    monkeypatch.setattr(Decoder, "extend", counted)
    for length in range(1, 9):
        write([list(range(length)), [1]], decoder=decoder, sampling=Sampling(0.5 + length / 10))
    assert traces == [(2, 8), (2, 1)]
    write([list(range(9)), [1]], decoder=decoder)
    assert traces[2:] == [(2, 16), (2, 1)]


def test_buckets():
    assert [bucket(n) for n in (1, 8, 9, 24, 25, 33, 49, 65, 97, 129)] == [8, 8, 16, 24, 32, 48, 64, 96, 128, 192]
    assert all(n <= bucket(n) < max(8, 1.5 * n) + 8 for n in range(1, 500))


def test_trim_drops_padding_only():
    trajectory = write(sampling=GREEDY, stop_ids=(likeliest(DECODER, PROMPTS[0], 1)[0], 12), max_tokens=60)
    short = trim(trajectory)
    assert short.mask.shape[1] == bucket(int(np.flatnonzero(np.any(trajectory.mask, axis=0))[-1]) + 1)
    assert completion_ids(short) == completion_ids(trajectory)
    assert not np.any(trajectory.mask[:, short.mask.shape[1] :])


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([[1], []], "prompt 2 is empty"),
        ([[1] * 90], "prompt 1 has 90 tokens, and 20 more do not fit into the model's context of 96; .* at most 6"),
    ],
)
def test_prompts_that_cannot_be_continued(prompts, message):
    with pytest.raises(UsageError, match=message):
        write(prompts)


@pytest.mark.parametrize("size", [LARGE, LARGE + 13])
def test_of_many_tokens_each_comes_as_often_as_its_probability_says(size):
    """Drawn in two steps; the rare ones are counted together."""
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=size)
    logits[rng.random(size) < 0.5] = -np.inf
    logits[-1] = logits.max()  # the last token is likely, in a block that is not full
    probs = np.exp(logits - logits.max())
    probs /= probs.sum()
    rows, draw = jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (4_000, size)), jax.jit(draw_index)
    tokens = [np.asarray(draw(rows, key)) for key in jax.random.split(jax.random.key(0), 5)]
    counts = np.bincount(np.concatenate(tokens), minlength=size)
    assert counts.sum() == 20_000 and (counts[probs == 0] == 0).all() and counts[-1] > 0
    often = probs > 5 / 20_000
    observed, expected = np.append(counts[often], counts[~often].sum()), np.append(probs[often], probs[~often].sum())
    assert often.sum() > 50
    assert stats.chisquare(observed, 20_000 * expected / expected.sum()).pvalue > 0.01


def test_a_row_with_one_possible_token_gets_it():
    logits = jnp.full((3, LARGE), -jnp.inf).at[jnp.arange(3), jnp.array([0, 777, LARGE - 1])].set(0.0)
    for seed in range(20):
        np.testing.assert_array_equal(draw_index(logits, jax.random.key(seed)), [0, 777, LARGE - 1])
