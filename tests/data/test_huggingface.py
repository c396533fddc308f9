"""Directories as transformers reads them: its own numbers for small models of every family, round trips, errors.

The expected log-probabilities were written by tests/peers/make_expected.py; the weights are drawn again here.
"""

import importlib.util
import json
import struct
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from puzzlebox.data.families import config_json, decoder_config, family_of
from puzzlebox.data.huggingface import load_decoder, save_decoder
from puzzlebox.data.tensors import skeleton
from puzzlebox.errors import UsageError
from puzzlebox.nets.decoder import DecoderConfig
from puzzlebox.nets.linear import add_lora, merge_lora

TESTS = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("make_expected", TESTS / "peers" / "make_expected.py")
make_expected = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_expected)
CASES = sorted(make_expected.CASES)


def make(directory, name):
    """The case's directory and expected numbers."""
    case = json.loads((TESTS / "data" / "expected" / f"{name}.json").read_text())
    make_expected.write(directory, case["config"], case["shapes"])
    return case


def log_probs(decoder, row):
    found = np.asarray(eqx.filter_jit(lambda model, x: jax.nn.log_softmax(model(x)))(decoder, row[None]))[0]
    return found[np.arange(len(row) - 1), row[1:]]


def small(config):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape), jnp.float32), skeleton(config))


def same(a, b):
    equal = jax.tree.map(lambda x, y: x.dtype == y.dtype and bool((x == y).all()), a, b)
    return a.config == b.config and jax.tree.all(equal)


@pytest.mark.parametrize("name", CASES)
def test_log_probs_are_those_of_transformers(name, tmp_path):
    case = make(tmp_path, name)
    row = make_expected.tokens(case["config"]["vocab_size"])
    np.testing.assert_allclose(log_probs(load_decoder(tmp_path), row), case["log_probs"], atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_saved_and_loaded_again_is_the_same_bit_for_bit(name, tmp_path):
    case = make(tmp_path / "a", name)
    first = load_decoder(tmp_path / "a")
    save_decoder(first, tmp_path / "b", original=tmp_path / "a")
    save_decoder(first, tmp_path / "c")
    assert json.loads((tmp_path / "b" / "config.json").read_text())["model_type"] == case["config"]["model_type"]
    for copy in ("b", "c"):
        assert same(first, load_decoder(tmp_path / copy))
    before, after = (load_file(tmp_path / x / "model.safetensors") for x in "ab")
    assert before.keys() == after.keys()
    for key, value in before.items():  # gemma's small weights lose digits in 1 + w
        np.testing.assert_allclose(after[key], value, rtol=0, atol=1e-7 if name.startswith("gemma") else 0)


def test_shards_hold_the_same_model(tmp_path):
    make(tmp_path / "a", "llama")
    first = load_decoder(tmp_path / "a")
    save_decoder(first, tmp_path / "b", shard_bytes=10_000)
    index = json.loads((tmp_path / "b" / "model.safetensors.index.json").read_text())
    shards = set(index["weight_map"].values())
    assert len(shards) > 2
    assert shards == {path.name for path in (tmp_path / "b").glob("*.safetensors")}
    total = sum(x.nbytes for shard in shards for x in load_file(tmp_path / "b" / shard).values())
    assert index["metadata"]["total_size"] == total
    assert same(first, load_decoder(tmp_path / "b"))
    save_decoder(first, tmp_path / "b")  # one file replaces the shards and their index
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, np.float16])
def test_half_precision_files_become_float32_or_what_is_asked_for(kind, tmp_path):
    make(tmp_path, "llama")
    path = tmp_path / "model.safetensors"
    save_file({key: x.astype(kind) for key, x in load_file(path).items()}, path)
    exact = load_decoder(tmp_path)
    assert exact.embedding.dtype == jnp.float32
    assert (np.asarray(exact.embedding) == load_file(path)["model.embed_tokens.weight"].astype(np.float32)).all()
    half = load_decoder(tmp_path, dtype=jnp.bfloat16)
    assert {x.dtype for x in jax.tree.leaves(half)} == {jnp.dtype(jnp.bfloat16)}
    save_decoder(half, tmp_path / "half")
    assert same(half, load_decoder(tmp_path / "half", dtype=jnp.bfloat16))
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"


def test_gemma_norms_keep_their_digits_in_half_precision(tmp_path):
    make(tmp_path, "gemma2")
    half = load_decoder(tmp_path, dtype=jnp.bfloat16)
    assert half.embedding.dtype == jnp.bfloat16
    assert (half.norm.weight == load_decoder(tmp_path).norm.weight).all()


def test_token_ids_of_the_original_are_kept_and_none_invented(tmp_path):
    make(tmp_path / "a", "qwen2")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    (tmp_path / "a" / "config.json").write_text(json.dumps(config | {"eos_token_id": [5, 7], "bos_token_id": 3}))
    save_decoder(load_decoder(tmp_path / "a"), tmp_path / "b", original=tmp_path / "a")
    after = json.loads((tmp_path / "b" / "config.json").read_text())
    assert (after["eos_token_id"], after["bos_token_id"], after["pad_token_id"]) == ([5, 7], 3, None)


def test_names_that_other_writers_use(tmp_path):
    for name, rename in {
        "gpt2": lambda key: key.removeprefix("transformer."),
        "gpt_neox": lambda key: key.replace("embed_out", "lm_head"),
        "gemma3": lambda key: f"language_model.{key}",
    }.items():
        case = make(tmp_path / name, name)
        first = load_decoder(tmp_path / name)
        path = tmp_path / name / "model.safetensors"
        other = {rename(key): x for key, x in load_file(path).items()} | {"h.0.attn.bias": np.ones(3, np.float32)}
        if name == "gemma3":
            other["vision_tower.embeddings.weight"] = np.ones(3, np.float32)
            whole = {
                "model_type": "gemma3",
                "text_config": {k: v for k, v in case["config"].items() if k != "model_type"},
            }
            (tmp_path / name / "config.json").write_text(json.dumps(whole))
        save_file(other, path)
        assert same(first, load_decoder(tmp_path / name))


def test_defaults_where_published_files_leave_keys_out():
    bare = {"hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 7}
    config = decoder_config({"model_type": "gemma3", "text_config": bare})
    assert config.vocab_size == 262_208
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (8, 4, 256)
    assert config.windows == (4096,) * 5 + (0, 4096)
    assert (config.rope_base, config.rope_local_base, config.tied) == (1e6, 1e4, True)
    mistral = bare | {"vocab_size": 9, "num_attention_heads": 8, "model_type": "mistral"}
    assert decoder_config(mistral).windows == (4096,) * 7
    assert decoder_config(mistral | {"sliding_window": None}).windows == ()


def test_every_default_decoder_has_a_family():
    assert family_of(DecoderConfig(61)) == "llama"
    assert family_of(DecoderConfig(61, qk_norm=True)) == "qwen3"
    assert family_of(DecoderConfig(61, windows=(0, 0, 0, 0))) == "llama"
    assert family_of(DecoderConfig(61, windows=(8, 8, 8, 8))) == "mistral"
    assert json.loads(json.dumps(config_json(DecoderConfig(61), "llama")))["rope_parameters"]["rope_theta"] == 10_000


def test_adapters_are_merged_when_saved(tmp_path):
    decoder = small(DecoderConfig(61, width=16, num_heads=2, num_kv_heads=2, head_dim=8, hidden=24))
    adapted = add_lora(decoder, 2, 4.0, ("query", "down"), jax.random.key(1))
    adapted = eqx.tree_at(lambda m: m.layers[0].attention.query.lora_b, adapted, jnp.ones((2, 16)))
    save_decoder(adapted, tmp_path)
    assert same(merge_lora(adapted), load_decoder(tmp_path))


def test_a_decoder_that_no_family_holds(tmp_path):
    decoder = small(DecoderConfig(61, width=16, num_layers=1, windows=(4,), mlp_bias=True))
    with pytest.raises(UsageError, match="mistral comes nearest but lacks: mlp_bias True"):
        save_decoder(decoder, tmp_path)
    assert not list(tmp_path.iterdir())


class TestErrors:
    @pytest.fixture
    def model(self, tmp_path):
        make(tmp_path, "llama")
        return tmp_path

    def change(self, directory, **changes):
        config = json.loads((directory / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps(config | changes))

    def test_no_such_directory(self, tmp_path):
        with pytest.raises(UsageError, match=r"has no config\.json; a model is a Hugging Face directory"):
            load_decoder(tmp_path / "nothing")

    def test_config_that_is_not_json(self, model):
        (model / "config.json").write_text("{")
        with pytest.raises(UsageError, match=r"config\.json is not JSON"):
            load_decoder(model)

    def test_unknown_architecture(self, model):
        self.change(model, model_type="mamba")
        with pytest.raises(UsageError, match="model_type 'mamba'; supported are: llama, mistral, qwen2"):
            load_decoder(model)

    def test_missing_key(self, model):
        self.change(model, hidden_size=None)
        with pytest.raises(UsageError, match=r"config\.json has no 'hidden_size'"):
            load_decoder(model)

    def test_unknown_rotary_scaling(self, model):
        self.change(model, rope_parameters={"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4})
        with pytest.raises(UsageError, match="rotary scaling 'yarn'; supported are: default, linear, llama3"):
            load_decoder(model)

    def test_unknown_activation(self, model):
        self.change(model, hidden_act="xielu")
        with pytest.raises(UsageError, match="activation 'xielu'"):
            load_decoder(model)

    def test_switch_that_changes_the_computation(self, tmp_path):
        make(tmp_path, "gpt2")
        self.change(tmp_path, scale_attn_by_inverse_layer_idx=True)
        with pytest.raises(UsageError, match="scale_attn_by_inverse_layer_idx True; only False is supported"):
            load_decoder(tmp_path)

    def test_truncated_weights(self, model):
        path = model / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UsageError, match=r"model\.safetensors is damaged or was not downloaded whole"):
            load_decoder(model)
        path.write_bytes(struct.pack("<Q", 1 << 40))
        with pytest.raises(UsageError, match="damaged"):
            load_decoder(model)
        path.write_bytes(b"")
        with pytest.raises(UsageError, match="damaged"):
            load_decoder(model)

    def test_missing_and_unexpected_tensors(self, model):
        path = model / "model.safetensors"
        tensors = load_file(path)
        del tensors["model.norm.weight"]
        save_file(tensors, path)
        with pytest.raises(UsageError, match=r"lacks the tensor model\.norm\.weight"):
            load_decoder(model)
        self.change(model, num_hidden_layers=1)
        save_file(tensors | {"model.norm.weight": np.ones(24, np.float32)}, path)
        with pytest.raises(UsageError, match=r"holds unexpected tensors model\.layers\.1\.input_l.* and 6 more"):
            load_decoder(model)

    def test_wrong_shape(self, model):
        self.change(model, num_key_value_heads=4)
        with pytest.raises(
            UsageError, match=r"k_proj\.weight has shape \(12, 24\), its configuration asks for \(24, 24\)"
        ):
            load_decoder(model)

    def test_pickled_weights(self, model):
        (model / "model.safetensors").rename(model / "pytorch_model.bin")
        with pytest.raises(UsageError, match=r"pytorch_model\.bin, a pickle, which is not opened.*transformers"):
            load_decoder(model)

    def test_no_weights(self, model):
        (model / "model.safetensors").unlink()
        with pytest.raises(UsageError, match=r"has no model\.safetensors and no"):
            load_decoder(model)

    def test_missing_shard(self, model):
        save_decoder(load_decoder(model), model, shard_bytes=10_000)
        next(model.glob("model-00002*")).unlink()
        with pytest.raises(UsageError, match=r"model-00002-of-\d+\.safetensors is missing"):
            load_decoder(model)
