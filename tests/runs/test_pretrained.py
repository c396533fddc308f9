"""Models by name: what is found, what is merged, and one line for what cannot be read."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.cli import main
from puzzlebox.data.huggingface import save_decoder
from puzzlebox.data.peft import save_adapter
from puzzlebox.errors import UsageError
from puzzlebox.nets.linear import add_lora, is_linear
from puzzlebox.runs.build import from_run, load_model
from puzzlebox.training.train import train

TINY = "new,layers=1,width=16,heads=2,kv_heads=1,hidden=24,context=64"


@pytest.fixture(scope="module")
def adapted_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "run"
    settings = {"steps": 2, "batch_size": 4, "num_examples": 8, "lora_rank": 2, "learning_rate": 0.1}
    train("sft", "arith", model=TINY, run=path, episodes=2, quiet=True, **settings)
    return path


@pytest.fixture
def directory(tmp_path):
    model = load_model(TINY)
    save_decoder(model.decoder, tmp_path / "hf")
    model.tokenizer.save(tmp_path / "hf")
    return tmp_path / "hf"


def adapters(decoder) -> int:
    return sum(x.lora_a is not None for x in jax.tree.leaves(decoder, is_leaf=is_linear) if is_linear(x))


def test_new_has_the_shape_asked_for():
    config = load_model(TINY).decoder.config
    assert (config.num_layers, config.width, config.num_heads, config.num_kv_heads) == (1, 16, 2, 1)
    same, other = load_model(TINY), load_model(TINY + ",seed=1")
    assert same is load_model(TINY)
    assert not np.array_equal(same.decoder.embedding, other.decoder.embedding)


def test_a_run_is_merged_unless_told_otherwise(adapted_run):
    merged, apart = load_model(str(adapted_run)), from_run(adapted_run, 0, merge=False)
    assert adapters(merged.decoder) == 0 < adapters(apart.decoder)
    tokens = jnp.asarray([[1, 2, 3, 4]])
    np.testing.assert_allclose(merged.decoder(tokens), apart.decoder(tokens), atol=1e-4)
    assert np.abs(merged.decoder(tokens) - load_model(TINY).decoder(tokens)).max() > 1e-2


def test_a_directory_and_an_adapter_on_it(directory, tmp_path):
    model = load_model(str(directory))
    tokens = jnp.asarray([[1, 2, 3]])
    np.testing.assert_allclose(model.decoder(tokens), load_model(TINY).decoder(tokens), atol=1e-6)
    changed = add_lora(model.decoder, 2, 4.0, ("query",), jax.random.key(0))
    changed = eqx.tree_at(lambda d: d.layers[0].attention.query.lora_b, changed, jnp.ones((2, 16)))
    save_adapter(changed, tmp_path / "adapter", str(directory))
    np.testing.assert_allclose(load_model(str(tmp_path / "adapter")).decoder(tokens), changed(tokens), atol=1e-5)
    config = tmp_path / "adapter/adapter_config.json"
    config.write_text(config.read_text().replace(str(directory), "elsewhere/model"))
    with pytest.raises(UsageError, match="adapts the model 'elsewhere/model', which is not here"):
        load_model(str(tmp_path / "adapter") + ",")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "there is no model 'nowhere'; name a run directory, a Hugging Face directory, a .gguf file"),
        ("nowhere.gguf", "'nowhere.gguf' does not exist"),
        ("new,layer=2", "did you mean layers"),
        ("new,layers=two", "'layers=two' in the model 'new,layers=two' is no whole number"),
        ("new,width=30", "width 30 must be a multiple of heads 4"),
        (".", "has no config.json"),
    ],
)
def test_names_that_mean_nothing(name, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", name, "--prompt", "x"]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_agents_that_are_not_there(adapted_run):
    with pytest.raises(UsageError, match=r"agent is 3, but .* has agents 0 to 0"):
        load_model(f"{adapted_run},agent=3")


def test_a_run_of_something_else(tmp_path, capsys):
    config = {"format": 1, "algorithm": "ppo", "env": "CartPole-v1", "hyperparameters": {}, "agents": []}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["generate", str(tmp_path), "--prompt", "x"]) == 2
    assert "is a run of ppo, which trains no language model" in capsys.readouterr().err


def test_broken_directories(directory, capsys):
    weights = (directory / "model.safetensors").read_bytes()
    (directory / "model.safetensors").write_bytes(weights[:-100])
    assert main(["generate", str(directory), "--prompt", "x"]) == 2
    assert "model.safetensors is damaged or was not downloaded whole" in capsys.readouterr().err
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"model_type": "mamba"}))
    assert main(["generate", str(directory), "--prompt", "x"]) == 2
    err = capsys.readouterr().err
    assert "mamba" in err
    assert "llama" in err
    assert err.count("\n") == 1
    (directory / "config.json").write_text("{")
    assert main(["generate", str(directory), "--prompt", "x"]) == 2
    assert "config.json is not readable as JSON" in capsys.readouterr().err
