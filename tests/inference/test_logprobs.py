"""Log-probabilities of the lines of a file, against reading each line alone."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.cli import main
from puzzlebox.runs.build import load_model

TINY = "new,layers=1,width=16,heads=2,hidden=24,context=64,kv_heads=2"


def test_each_line_by_itself(tmp_path, capsys):
    (tmp_path / "text.txt").write_text("3+4=7\n\nZürich\r\nx\n" + "".join(f"line {i}\n" for i in range(9)))
    assert main(["logprobs", TINY, "--text", str(tmp_path / "text.txt"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    decoder = load_model(TINY).decoder
    assert figures["tokens"][:4] == [list(b"3+4=7"), [], list("Zürich".encode()), [120]]
    assert len(figures["tokens"]) == 13
    read = jax.jit(lambda tokens: jax.nn.log_softmax(decoder(tokens)))
    for tokens, log_probs in zip(figures["tokens"], figures["log_probs"], strict=True):
        table = read(jnp.zeros((1, 16), int).at[0, : len(tokens)].set(jnp.array(tokens, int)))[0]
        expected = [float(table[i, token]) for i, token in enumerate(tokens[1:])]
        np.testing.assert_allclose(log_probs, expected, atol=1e-5)
    mean = np.mean([x for line in figures["log_probs"] for x in line])
    assert figures["perplexity"] == pytest.approx(np.exp(-mean))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no text"),
        (b"\n \n", "holds no text"),
        (b"short\n" + b"x" * 65, "line 2 has 65 tokens, more than the model's context of 64"),
        (b"\xff", "is not UTF-8"),
        (None, "cannot read"),
    ],
)
def test_files_that_cannot_be_scored(content, message, tmp_path, capsys):
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    assert main(["logprobs", TINY, "--text", str(tmp_path / "text.txt")]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
