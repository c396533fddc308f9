"""Conversations: the cache against reading everything again, and what a person sees."""

import io
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from puzzlebox.acting.generate import Sampling
from puzzlebox.cli import main
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.errors import UsageError
from puzzlebox.inference.chat import Conversation, Stream
from puzzlebox.nets.decoder import Decoder, DecoderConfig

TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}[assistant]{% endif %}"
CHANGING = "{{ messages | length }}" + TEMPLATE
TINY = "new,layers=1,width=16,heads=2,hidden=24,context=256,kv_heads=2"
CONFIG = DecoderConfig(
    258, width=32, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=16, hidden=32, context=200, tied=False
)
DECODER = jax.tree.map(lambda x: 12 * x if x.ndim == 2 else x, Decoder(CONFIG, jax.random.key(0)))
READ = eqx.filter_jit(lambda tokens, last: DECODER(tokens)[0, last])


def talk(template: str) -> Conversation:
    model = LanguageModel(DECODER, Tokenizer.characters().with_chat_template(template))
    return Conversation(model, Sampling(0.0), 0)


def continued(prompt: list[int], count: int) -> list[int]:
    row = list(prompt)
    while len(row) < len(prompt) + count and (len(row) == len(prompt) or row[-1] != 257):
        padded = jnp.zeros((1, 200), int).at[0, : len(row)].set(jnp.array(row))
        row.append(int(jnp.argmax(READ(padded, len(row) - 1))))
    return row


@pytest.mark.parametrize("template", [TEMPLATE, CHANGING])
def test_turns_are_those_without_a_cache(template):
    conversation = talk(template)
    expected: list[int] = []
    for text in ("hello", "and a longer second message, of more tokens than are read at once", "x"):
        before = list(conversation.messages)
        pieces = "".join(conversation.answer(text, 6))
        asked = [*before, {"role": "user", "content": text}]
        prompt = conversation.model.encode(asked)
        if template is TEMPLATE:  # only appends, so what was sampled stays as it was
            prompt = expected + list(f"[user]{text}[assistant]".encode())
        expected = continued(prompt, 6)
        assert conversation.seen == expected
        assert conversation.messages == [*asked, {"role": "assistant", "content": pieces}]


def test_an_answer_that_was_stopped_is_as_long_as_what_was_shown():
    conversation = talk(TEMPLATE)
    pieces = conversation.answer("hello", 50)
    next(pieces)
    next(pieces)
    pieces.close()
    assert len(conversation.seen) == len("[user]hello[assistant]") + 2
    assert [m["role"] for m in conversation.messages] == ["user", "assistant"]
    list(conversation.answer("more", 3))
    assert conversation.seen == continued(conversation.seen[: -3 + (conversation.seen[-1] == 257)], 3)


def test_a_full_conversation_says_so_and_can_go_on_after_a_reset():
    conversation = talk(TEMPLATE)
    with pytest.raises(UsageError, match=r"the conversation has 2.. tokens, and at most 200 fit"):
        list(conversation.answer("x" * 200, 5))
    assert conversation.messages == []
    assert len("".join(conversation.answer("x" * 180, 50))) <= 20
    conversation.begin("")
    assert list(conversation.answer("x", 2))


def test_never_half_a_character():
    tokenizer = Tokenizer.characters()
    text = "aü€😀\u200d👍é"
    stream = Stream(tokenizer)
    pieces = [stream.add(byte) for byte in text.encode()]
    assert [piece for piece in pieces if piece] == list(text)
    assert stream.rest() == ""
    broken = Stream(tokenizer)
    assert [broken.add(byte) for byte in "😀".encode()[:3]] == [""] * 3
    assert broken.rest().strip("\ufffd") == ""
    assert broken.rest() == ""


def test_a_pipe(tmp_path, capsys, monkeypatch):
    (tmp_path / "t.jinja").write_text(CHANGING)
    monkeypatch.setattr("sys.stdin", io.StringIO("hi\n\n/reset\nthere"))
    argv = ["chat", TINY, "--chat-template", str(tmp_path / "t.jinja"), "--max-tokens", "4", "--json"]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert [m["content"] for m in json.loads(out)["messages"] if m["role"] == "user"] == ["there"]
    assert "note: the chat template is not append-only" in err
    assert "(started over)" in err


def test_no_template_is_told_before_anything(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("hi\n"))
    assert main(["chat", TINY]) == 2
    err = capsys.readouterr().err
    assert "has no chat template, which conversations need; pass one with --chat-template FILE" in err
    assert err.count("\n") == 1
