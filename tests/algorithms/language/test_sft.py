"""SFT: the loss by hand, packing, and what a row of a demonstration counts."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.algorithms.language.sft import SFT
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.packing import Rows
from puzzlebox.data.text_worlds import make_text
from puzzlebox.errors import UsageError
from puzzlebox.runs.build import load_model
from puzzlebox.types import Example

START = load_model("new,layers=1,width=32,heads=2,kv_heads=2,hidden=64,context=128")
ROWS = [
    {"prompt": "2+2=", "completion": "4"},
    {"prompt": "12*13=", "completion": "156"},
    {"prompt": "Calculate 2*2.", "completion": "Answer is 4."},
]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    made = make_text(str(path))
    made._splits["train"] = list(made.dataset.rows)
    return made


def made(task, **values):
    return SFT(task, START, num_examples=3, batch_size=3, learning_rate=1e-2, warmup=0, steps=4, **values)


@eqx.filter_jit
def logits_of(decoder, tokens):
    return decoder(tokens)


def negative_log_probs(text, start):
    """−log π of every token of the demonstration from ``start`` on, from logits in float64."""
    tokens = [*START.tokenizer.encode(text), START.tokenizer.eos_id]
    logits = np.asarray(logits_of(START.decoder, jnp.array([tokens + [0] * (32 - len(tokens))])))[0].astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return [-log_probs[i - 1, tokens[i]] for i in range(start, len(tokens))]


@pytest.fixture(scope="module")
def packed(task):
    algorithm = made(task)
    state = algorithm.init(jax.random.key(0))
    return algorithm, state, *algorithm.step(jax.tree.map(jnp.copy, state))


def test_the_loss_is_the_mean_over_all_completion_tokens(packed):
    *_, metrics = packed
    expected = [x for row in ROWS for x in negative_log_probs(row["prompt"] + row["completion"], len(row["prompt"]))]
    assert float(metrics["loss"]) == pytest.approx(np.mean(expected), rel=1e-5)


def test_with_prompts_learned_it_is_the_mean_over_all_tokens(task):
    algorithm = made(task, completion_only=False)
    _, metrics = algorithm.step(algorithm.init(jax.random.key(0)))
    expected = [x for row in ROWS for x in negative_log_probs(row["prompt"] + row["completion"], 1)]
    assert float(metrics["loss"]) == pytest.approx(np.mean(expected), rel=1e-5)


def test_packed_rows_teach_what_separate_rows_teach(task, packed):
    _, state, _, metrics = packed
    separate = made(task, packing=False)
    _, figures = separate.step(jax.tree.map(jnp.copy, state))
    assert len(separate.rows().mask) == 3 > len(packed[0].rows().mask)
    assert float(figures["loss"]) == pytest.approx(float(metrics["loss"]), rel=1e-5)
    assert float(figures["grad_norm"]) == pytest.approx(float(metrics["grad_norm"]), rel=1e-4)


def test_a_row_counts_the_completion_and_the_token_that_ends_it(task):
    rows: Rows = made(task, packing=False).rows()
    learned = [
        START.tokenizer.decode(row[mask][:-1].tolist()) for row, mask in zip(rows.action, rows.mask, strict=True)
    ]
    assert sorted(learned) == ["156", "4", "Answer is 4."]
    assert {int(row[mask][-1]) for row, mask in zip(rows.action, rows.mask, strict=True)} == {START.tokenizer.eos_id}


def test_of_a_conversation_the_last_words_and_their_end_are_learned(tmp_path):
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    template += "{% if add_generation_prompt %}<assistant>{% endif %}"
    model = LanguageModel(START.decoder, START.tokenizer.with_chat_template(template))
    said = [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 2, "abcd", strict=True)]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": said[:1], "completion": said[1:]}))
    rows = SFT(make_text(str(tmp_path / "rows.jsonl")), model, num_examples=1, batch_size=1).rows()
    (learned,) = (row[mask] for row, mask in zip(rows.action, rows.mask, strict=True))
    (read,) = (row[~mask] for row, mask in zip(rows.action, rows.mask, strict=True))
    assert learned.tolist() == [*model.tokenizer.encode("d"), model.tokenizer.turn_end_id]
    assert model.tokenizer.decode(read.tolist()).startswith("user>a<assistant>b<user>c<assistant>")


def test_a_resumed_run_continues_bit_for_bit(packed):
    algorithm, state, after, metrics = packed
    again, repeated = algorithm.step(jax.tree.map(jnp.copy, state))
    assert repeated["loss"] == metrics["loss"]
    for a, b in zip(jax.tree.leaves(again.params), jax.tree.leaves(after.params), strict=True):
        assert np.array_equal(a, b)


def test_it_learns(packed):
    algorithm, _, after, metrics = packed
    for _ in range(3):
        after, last = algorithm.step(jax.tree.map(jnp.copy, after))
    assert float(last["loss"]) < float(metrics["loss"]) - 0.3


def learned_tokens(rows):
    return sorted(rows.action[rows.mask].tolist())


@pytest.mark.parametrize("packing", [True, False])
def test_a_long_text_goes_on_in_further_rows_and_loses_no_token(tmp_path, packing):
    text = "".join(chr(97 + i % 26) for i in range(1000))
    (tmp_path / "book.txt").write_text(text)
    algorithm = SFT(make_text(str(tmp_path / "book.txt")), START, length=64, packing=packing)
    rows = algorithm.rows()
    eos = START.tokenizer.eos_id
    assert rows.mask.shape == (16, 64)  # 1000 tokens and the one that ends them: 15 full rows and one of 41
    assert sorted(rows.mask.sum(axis=1)) == [41] + [64] * 15
    assert learned_tokens(rows) == sorted([*text.encode(), eos])
    parts = {bytes(row[mask].tolist()[: 41 - 1]) for row, mask in zip(rows.action, rows.mask, strict=True)}
    assert parts == {text.encode()[i : i + 64][:40] for i in range(0, 1000, 64)}
    read = {int(row[0]) for row in rows.observation}  # each row reads on from the last token of another, or begins
    assert read == {eos, *(text.encode()[i] for i in range(63, 1000, 64))}


def test_texts_share_rows_and_never_see_each_other(tmp_path):
    texts = ["a" * 150, "b" * 20, "c" * 30, "d" * 100]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    task = make_text(str(tmp_path / "rows.jsonl"))
    task._splits["train"] = list(task.dataset.rows)
    rows = SFT(task, START, length=100).rows()
    assert learned_tokens(rows) == sorted([*"".join(texts).encode(), *[START.tokenizer.eos_id] * 4])
    assert rows.mask.shape == (4, 100)
    for observation, segments in zip(rows.observation, rows.segments, strict=True):
        for number in range(1, segments.max() + 1):
            assert len({*observation[segments == number].tolist()} - {START.tokenizer.eos_id}) == 1
    length = SFT(task, START).rows().mask.shape[1]
    assert length == 128 == START.decoder.config.context  # the context is shorter than the longest text


def test_a_file_gives_each_row_once(tmp_path):
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"text": f"text {i}"}) for i in range(40)))
    task = make_text(str(tmp_path / "rows.jsonl"))
    for count in (3, 1000):
        rows = SFT(task, START, num_examples=count).rows()
        assert (rows.action[rows.mask] == START.tokenizer.eos_id).sum() == len(task.rows("train"))


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (0, "line 1 has 150 tokens with its prompt, and a row takes 129; shorten it or choose a model with a longer"),
        (100, "line 1 has 150 tokens with its prompt, and a row takes 101; shorten it or raise --length"),
        (200, "length is 200, but the model reads at most 128 tokens; lower --length"),
    ],
)
def test_a_demonstration_that_is_too_long_is_named(tmp_path, length, message):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "a" * 100, "completion": "b" * 49}))
    with pytest.raises(UsageError, match=message):
        SFT(make_text(str(tmp_path / "rows.jsonl")), START, length=length).rows()


def test_a_task_without_demonstrations_is_refused():
    class Silent:
        chat, max_tokens = False, 3

        def examples(self, split, count, seed):
            return [Example("=", "a")]

    algorithm = SFT(Silent(), START)
    with pytest.raises(UsageError, match="no demonstrations"):
        algorithm.step(algorithm.init(jax.random.key(0)))
