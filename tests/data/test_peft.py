"""Adapters in PEFT's layout: names and shapes by hand, round trips, files that peft writes differently, errors.

tests/peers holds the comparison with peft itself.
"""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from puzzlebox.data.peft import load_adapter, save_adapter
from puzzlebox.data.tensors import skeleton
from puzzlebox.errors import UsageError
from puzzlebox.nets.decoder import DecoderConfig
from puzzlebox.nets.linear import Linear, add_lora, is_linear, merge_lora

LLAMA = DecoderConfig(31, width=16, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=4, hidden=24)
NEOX = LLAMA._replace(num_kv_heads=4, norm="layer", gated=False, activation="gelu", parallel=True)
NEOX = NEOX._replace(qkv_bias=True, out_bias=True, mlp_bias=True, tied=False)
GPT2 = NEOX._replace(positions="learned", parallel=False, activation="gelu_tanh", tied=True)


def random(tree):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape), jnp.float32), tree)


def adapted(config, targets, rank=3, alpha=6.0):
    """A decoder whose adapters are not zero."""
    return random(add_lora(random(skeleton(config)), rank, alpha, targets, jax.random.key(0)))


def bare(model):
    return jax.tree.map(lambda x: Linear(x.weight, x.bias) if is_linear(x) else x, model, is_leaf=is_linear)


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), merge_lora(a), merge_lora(b))


def test_names_shapes_and_settings(tmp_path):
    model = adapted(LLAMA, ("query", "down"))
    save_adapter(model, tmp_path, "some/model")
    told = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (told["peft_type"], told["base_model_name_or_path"]) == ("LORA", "some/model")
    assert (told["r"], told["lora_alpha"], told["target_modules"]) == (3, 6, ["down_proj", "q_proj"])
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert len(tensors) == 8
    a = tensors["base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"]
    b = tensors["base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"]
    assert (a.shape, b.shape) == ((3, 24), (16, 3))
    layer = model.layers[1].feed_forward.down
    change = merge_lora(layer).weight - layer.weight
    np.testing.assert_allclose((6 / 3) * (b @ a), change, atol=1e-5)


@pytest.mark.parametrize("config", [LLAMA, NEOX, GPT2], ids=["llama", "gpt_neox", "gpt2"])
@pytest.mark.parametrize("targets", [("all",), ("query", "value"), ("out",), ("key", "up")])
def test_read_again_it_is_the_same_function(config, targets, tmp_path):
    model = adapted(config, targets)
    save_adapter(model, tmp_path)
    again = load_adapter(bare(model), tmp_path)
    close(model, again)
    if config is LLAMA:
        assert jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), model, again))
        assert again.layers[0].attention.query.lora_scale == model.layers[0].attention.query.lora_scale


def test_three_adapters_of_a_fused_layer_become_one_with_blocks(tmp_path):
    model = adapted(GPT2, ("query", "key", "value"), rank=2)
    save_adapter(model, tmp_path)
    told = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (told["r"], told["lora_alpha"], told["target_modules"], told["fan_in_fan_out"]) == (6, 18, ["c_attn"], True)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    a, b = (tensors[f"base_model.model.transformer.h.0.attn.c_attn.lora_{x}.weight"] for x in "AB")
    for i, name in enumerate(("query", "key", "value")):
        layer = getattr(model.layers[0].attention, name)
        change = (layer.lora_a @ layer.lora_b) * layer.lora_scale
        np.testing.assert_allclose(3 * (b @ a).T[:, 16 * i : 16 * (i + 1)], change, atol=1e-5)


def test_layers_whose_last_names_are_ambiguous_are_named_in_full(tmp_path):
    save_adapter(adapted(GPT2, ("out",)), tmp_path)
    told = json.loads((tmp_path / "adapter_config.json").read_text())
    assert told["target_modules"] == [f"transformer.h.{i}.attn.c_proj" for i in range(2)]


def test_ranks_and_scales_of_other_writers(tmp_path):
    model = adapted(LLAMA, ("query", "up"), rank=4, alpha=8.0)
    save_adapter(model, tmp_path)
    path = tmp_path / "adapter_config.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"use_rslora": True, "alpha_pattern": {"mlp.up_proj": 2, "layers.0": 5}}))
    found = load_adapter(bare(model), tmp_path).layers[0]
    assert found.attention.query.lora_scale == 8 / 2
    assert found.feed_forward.up.lora_scale == 2 / 2
    assert found.attention.key.lora_a is None


def test_adapters_of_some_layers_only(tmp_path):
    model = adapted(LLAMA, ("query",))
    model = eqx.tree_at(lambda m: m.layers[0].attention.query, model, bare(model).layers[0].attention.query)
    save_adapter(model, tmp_path)
    told = json.loads((tmp_path / "adapter_config.json").read_text())
    assert told["target_modules"] == ["model.layers.1.self_attn.q_proj"]
    close(model, load_adapter(bare(model), tmp_path))


class TestErrors:
    @pytest.fixture
    def saved(self, tmp_path):
        save_adapter(adapted(LLAMA, ("query",)), tmp_path)
        return tmp_path

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"peft_type": "IA3"}, "holds a IA3 adapter; only LORA"),
            ({"use_dora": True}, "use_dora set, which is not supported"),
            ({"bias": "all"}, "trained biases too"),
            ({"modules_to_save": ["lm_head"]}, "modules_to_save set"),
            ({"init_lora_weights": "pissa_niter_4"}, "started with pissa_niter_4, which changes the model's own"),
        ],
    )
    def test_other_kinds(self, change, message, saved):
        path = saved / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(UsageError, match=message):
            load_adapter(skeleton(LLAMA), saved)

    def test_another_model(self, saved):
        with pytest.raises(UsageError, match=r"q_proj has shapes \(3, 16\) and \(16, 3\); this model's layer has 32"):
            load_adapter(random(skeleton(LLAMA._replace(width=32))), saved)
        with pytest.raises(UsageError, match=r"adapts base_model\.model\.model\.layers\.1.* does not have"):
            load_adapter(random(skeleton(LLAMA._replace(num_layers=1))), saved)

    def test_half_an_adapter(self, saved):
        tensors = load_file(saved / "adapter_model.safetensors")
        del tensors["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"]
        save_file(tensors, saved / "adapter_model.safetensors")
        with pytest.raises(UsageError, match=r"lacks the tensor .*layers\.0\.self_attn\.q_proj\.lora_B\.weight"):
            load_adapter(random(skeleton(LLAMA)), saved)

    def test_missing_and_damaged_files(self, saved, tmp_path):
        path = saved / "adapter_model.safetensors"
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(UsageError, match="is damaged"):
            load_adapter(random(skeleton(LLAMA)), saved)
        path.rename(saved / "adapter_model.bin")
        with pytest.raises(UsageError, match=r"has no adapter_model\.safetensors \(adapter_model\.bin is a pickle"):
            load_adapter(random(skeleton(LLAMA)), saved)
        with pytest.raises(UsageError, match=r"has no adapter_config\.json"):
            load_adapter(random(skeleton(LLAMA)), tmp_path / "nothing")

    def test_nothing_to_save(self, tmp_path):
        with pytest.raises(UsageError, match="has no adapters to save"):
            save_adapter(random(skeleton(LLAMA)), tmp_path)
