"""Exports open again as the same model, and never write over something else."""

import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.cli import main
from puzzlebox.inference.export import export
from puzzlebox.runs.build import load_model
from puzzlebox.training.train import train

TINY = "new,layers=1,width=16,heads=2,kv_heads=2,hidden=24,context=64"
TOKENS = jnp.asarray([[1, 2, 3, 4]])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "run"
    settings = {"steps": 2, "batch_size": 4, "num_examples": 8, "lora_rank": 2, "learning_rate": 0.1}
    train("sft", "arith", model=TINY, run=path, episodes=2, quiet=True, **settings)
    return path


def test_every_format_is_the_same_model(run, tmp_path, capsys):
    trained = load_model(str(run)).decoder(TOKENS)
    hf = export(str(run), "hf")
    assert hf["path"] == str(run / "hf")
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(hf["files"])
    np.testing.assert_allclose(load_model(hf["path"]).decoder(TOKENS), trained, atol=1e-6)
    assert load_model(hf["path"]).tokenizer.encode("3+4=") == list(b"3+4=")
    gguf = export(str(run), "gguf", tmp_path / "m.gguf")
    np.testing.assert_allclose(load_model(gguf["path"]).decoder(TOKENS), trained, atol=2e-2)
    assert main(["export", str(run), "--to", "peft"]) == 0
    assert "puzzlebox export new" in capsys.readouterr().out
    assert (run / "peft/adapter_model.safetensors").is_file()
    assert export(str(run), "hf")["files"] == hf["files"]


def test_an_adapter_on_a_directory_opens_by_name(run, tmp_path):
    export(TINY, "hf", tmp_path / "base")
    settings = {"steps": 2, "batch_size": 4, "num_examples": 8, "lora_rank": 2, "learning_rate": 0.1}
    train("sft", "arith", model=str(tmp_path / "base"), run=tmp_path / "r", episodes=2, quiet=True, **settings)
    figures = export(str(tmp_path / "r"), "peft")
    assert figures["notes"] == []
    one, other = load_model(figures["path"]), load_model(str(tmp_path / "r"))
    np.testing.assert_allclose(one.decoder(TOKENS), other.decoder(TOKENS), atol=1e-5)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["RUN", "--to", "onnx"], "--to is 'onnx'; choose one of: hf, peft, gguf"),
        ([TINY, "--to", "hf"], "is not the directory of a run; say where the export goes: --out DIR"),
        ([TINY, "--to", "peft"], "is no run, and only a run that trained an adapter can give one"),
        (["RUN", "--to", "hf", "--out", "RUN"], "is in use; choose a new or empty directory as --out"),
        (["nowhere", "--to", "hf", "--out", "x"], "there is no model 'nowhere'"),
    ],
)
def test_bad_requests(argv, message, run, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *(str(run) if word == "RUN" else word for word in argv)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
