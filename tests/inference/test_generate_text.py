"""The command that continues a prompt."""

import json

import numpy as np
import pytest

from puzzlebox.cli import main
from puzzlebox.inference.generate_text import cut, printable
from puzzlebox.inference.logprobs import score_texts
from puzzlebox.runs.build import load_model

TINY = "new,layers=1,width=16,heads=2,hidden=24,context=64,kv_heads=2"
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[me]{% endif %}"
)


def test_what_it_reports(capsys):
    argv = ["generate", TINY, "--prompt", "3+4=", "--max-tokens", "9", "--num", "2", "--seed", "3", "--json"]
    assert main(argv) == 0
    figures = json.loads(capsys.readouterr().out)
    assert len(figures["completions"]) == 2
    assert figures["prompt_tokens"] == list(b"3+4=")
    model = load_model(TINY)
    for made in figures["completions"]:
        assert made["finished"] == (made["tokens"][-1] == model.tokenizer.eos_id)
        assert len(made["tokens"]) == 9 or made["finished"]
        assert made["text"] == model.tokenizer.decode(made["tokens"])
        expected = score_texts(model, [figures["prompt_tokens"] + made["tokens"]])[0][3:]
        np.testing.assert_allclose(made["log_probs"], expected, atol=1e-4)
    assert figures["text"] == figures["completions"][0]["text"]
    assert figures["tokens_per_second"] > 0
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == figures["tokens"]


def test_a_message_goes_through_the_template(tmp_path, capsys):
    (tmp_path / "t.jinja").write_text(TEMPLATE)
    argv = ["generate", TINY, "--prompt", "hi", "--system", "be brief", "--max-tokens", "9", "--json"]
    assert main([*argv, "--chat-template", str(tmp_path / "t.jinja")]) == 0
    assert json.loads(capsys.readouterr().out)["prompt_tokens"] == list(b"[system]be brief[user]hi[me]")


def test_cutting_and_showing():
    assert cut("3+4=7#7\n8", ["\n", "#"]) == "3+4=7"
    assert cut("abc", []) == "abc"
    assert printable("a\x1b[2Jb\n\tü\x00") == "a\ufffd[2Jb\n\tü\ufffd"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max-tokens", "0"], "max_tokens is 0; it must be at least 1"),
        (["--temperature", "-1"], "temperature is -1; it must be 0 (the likeliest token) or between 0.001 and 1000"),
        (["--temperature", "nan"], "temperature is nan"),
        (["--top-p", "0"], "top_p is 0; it must be above 0 and at most 1"),
        (["--top-p", "1.5"], "top_p is 1.5"),
        (["--top-k", "-2"], "top_k is -2"),
        (["--num", "0"], "num is 0; it must be at least 1"),
        (["--max-tokens", "64"], "prompt 1 has 1 tokens, and 64 more do not fit into the model's context of 64"),
        (["--chat"], "this tokenizer has no chat template, which conversations need; pass one with --chat-template"),
        (["--prompt", ""], "prompt 1 is empty"),
        (["--chat-template", "nowhere"], "cannot read the chat template nowhere"),
    ],
)
def test_bad_requests(flags, message, capsys):
    assert main(["generate", TINY, "--prompt", "x", "--max-tokens", "9", *flags]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
