"""GGUF files: the conventions of every architecture, written here by hand; our own files read back; broken files.

Names come from the gguf package's own map, and the models from the cases that transformers confirmed.
"""

import importlib.util
import json
from pathlib import Path

import equinox as eqx
import gguf
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gguf.quants import dequantize, quantize
from safetensors.numpy import load_file

from puzzlebox.data.gguf import load_gguf
from puzzlebox.data.gguf_export import save_gguf
from puzzlebox.data.huggingface import load_decoder
from puzzlebox.data.tensors import skeleton
from puzzlebox.data.tokenizer import Tokenizer
from puzzlebox.errors import UsageError
from puzzlebox.nets.decoder import DecoderConfig

spec = importlib.util.spec_from_file_location("make_expected", Path(__file__).parent.parent / "peers/make_expected.py")
make_expected = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_expected)

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gpt2": gguf.MODEL_ARCH.GPT2,
    "gpt_neox": gguf.MODEL_ARCH.GPTNEOX,
    "gemma2": gguf.MODEL_ARCH.GEMMA2,
    "gemma3": gguf.MODEL_ARCH.GEMMA3,
}
# What llama.cpp assumes of gemma, where the cases have other values.
CHANGES = {
    "llama": {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0}},
    "gemma2": {"query_pre_attn_scalar": 8},
    "gemma3": {"rope_local_base_freq": 1e4, "sliding_window_pattern": 6, "num_hidden_layers": 3},
}


@eqx.filter_jit
def run(decoder, tokens):
    return decoder(tokens)


def make(directory, name):
    case = json.loads((make_expected.EXPECTED / f"{name}.json").read_text())
    config = case["config"] | CHANGES.get(name, {})
    make_expected.write(directory, config, case["shapes"])
    return config


def same(a, b):
    equal = jax.tree.map(lambda x, y: x.dtype == y.dtype and bool((x == y).all()), a, b)
    return a.config == b.config and jax.tree.all(equal)


def as_gguf(name, x, config):
    """One tensor as llama.cpp's converter writes it."""
    heads = config.get("num_attention_heads", config.get("n_head"))
    if config["model_type"] == "llama" and ("q_proj" in name or "k_proj" in name):
        count = heads if "q_proj" in name else config["num_key_value_heads"]
        half = len(x) // count // 2  # row i of a head and row i + half become neighbours
        order = [h * 2 * half + i + half * second for h in range(count) for i in range(half) for second in (0, 1)]
        return x[order]
    if "gemma" in config["model_type"] and "norm" in name:
        return x + 1
    if config["model_type"] == "gpt2" and x.ndim == 2 and ("c_" in name):
        return x.T
    if "query_key_value" in name:  # rows of head h: its query, its key, its value
        size = len(x) // heads // 3
        order = [h * 3 * size + part * size + i for part in range(3) for h in range(heads) for i in range(size)]
        return x[order]
    return x


def fields(writer, config, decoder):
    c = decoder.config
    writer.add_context_length(c.context)
    writer.add_embedding_length(c.width)
    writer.add_block_count(c.num_layers)
    writer.add_feed_forward_length(c.hidden)
    writer.add_head_count(c.num_heads)
    writer.add_head_count_kv(c.num_kv_heads)
    (writer.add_layer_norm_eps if c.norm == "layer" else writer.add_layer_norm_rms_eps)(c.norm_epsilon)
    if config["model_type"] == "gpt2":
        return
    writer.add_rope_freq_base(c.rope_base)
    if config["model_type"] == "gpt_neox":
        writer.add_rope_dimension_count(int(c.head_dim * c.rope_fraction))
        writer.add_parallel_residual(c.parallel)
        return
    writer.add_key_length(c.head_dim)
    if c.rope_scaling:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(c.rope_scaling[1])
    if c.sandwich:
        writer.add_sliding_window(config["sliding_window"])
    if c.attention_softcap:
        writer.add_attn_logit_softcapping(c.attention_softcap)
        writer.add_final_logit_softcapping(c.logit_softcap)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_is_the_model_of_its_hugging_face_directory(name, tmp_path):
    config = make(tmp_path, name)
    decoder = load_decoder(tmp_path)
    arch = ARCHITECTURES[name]
    names = gguf.get_tensor_name_map(arch, decoder.config.num_layers)
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", gguf.MODEL_ARCH_NAMES[arch])
    fields(writer, config, decoder)
    for key, x in load_file(tmp_path / "model.safetensors").items():
        writer.add_tensor(names.get_name(key, (".weight", ".bias")), np.ascontiguousarray(as_gguf(key, x, config)))
    finish(writer)
    found, _ = load_gguf(tmp_path / "model.gguf")
    row = make_expected.tokens(61)[None]
    assert found.config == decoder.config
    np.testing.assert_array_equal(run(found, row), run(decoder, row))


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def small(**changes):
    shape = {"width": 64, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2, "head_dim": 16, "hidden": 96}
    rng = np.random.default_rng(0)
    outline = skeleton(DecoderConfig(**({"vocab_size": 260} | shape | changes)))
    return jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape), jnp.float32), outline)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"qkv_bias": True, "tied": False},
        {"qkv_bias": True, "out_bias": True, "mlp_bias": True},
        {"qk_norm": True, "head_dim": 24},
        {"rope_scaling": ("linear", 4.0), "rope_base": 5e5},
        {"rope_scaling": ("llama3", 8.0, 1.0, 4.0, 8192), "rope_base": 5e5, "head_dim": 32},
        {"rope_scaling": ("llama3", 2.0, 1.0, 4.0, 64), "rope_base": 100.0},
    ],
)
def test_own_files_read_back_bit_for_bit(changes, tmp_path):
    decoder = small(**changes)
    save_gguf(decoder, Tokenizer.characters(), tmp_path / "m.gguf", dtype="float32")
    found, reader = load_gguf(tmp_path / "m.gguf")
    assert same(decoder, found)
    text = "3+4 = 7, naïve 你好\n"
    tokenizer = Tokenizer.from_gguf(reader)
    assert tokenizer.encode(text) == Tokenizer.characters().encode(text)
    assert (tokenizer.eos_id, tokenizer.pad_id) == (257, 256)
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def test_half_precision_file_holds_matrices_in_half_and_vectors_whole(tmp_path):
    decoder = small()
    save_gguf(decoder, Tokenizer.characters(), tmp_path / "m.gguf")
    found, reader = load_gguf(tmp_path / "m.gguf")
    assert {t.tensor_type.name for t in reader.tensors if len(t.shape) == 2} == {"F16"}
    assert (found.embedding == decoder.embedding.astype(jnp.float16).astype(jnp.float32)).all()
    assert (found.norm.weight == decoder.norm.weight).all()
    assert load_gguf(tmp_path / "m.gguf", dtype=jnp.bfloat16)[0].embedding.dtype == jnp.bfloat16


def test_tokenizer_with_merges_special_tokens_and_template_comes_back(tmp_path):
    letters = Tokenizer.characters().library.get_vocab(with_added_tokens=False)
    merges = ["t h", "th e", "Ġ the", "1 2"]
    written = {
        "ggml.model": "gpt2",
        "ggml.pre": "smollm",
        "ggml.tokens": [*sorted(letters, key=letters.get), "th", "the", "Ġthe", "12", "<|end|>", "<tool>", "<unk>"],
        "ggml.token_type": [1] * 260 + [3, 4, 3],
        "ggml.merges": merges,
        "ggml.eos_token_id": 260,
        "ggml.unknown_token_id": 262,
        "chat_template": "{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}",
    }
    held = {f"tokenizer.{k}": type("Field", (), {"contents": lambda self, v=v: v})() for k, v in written.items()}
    before = Tokenizer.from_gguf(type("Reader", (), {"fields": held})())
    save_gguf(small(vocab_size=270), before, tmp_path / "m.gguf")
    _, reader = load_gguf(tmp_path / "m.gguf")
    assert reader.get_field("tokenizer.ggml.pre").contents() == "smollm"  # 12 is cut into digits, so no other rule fits
    after = Tokenizer.from_gguf(reader)
    for text in ("the the<|end|>", " 12 the12<tool>", "naïve\n\n", "[PAD265]"):
        assert after.encode(text) == before.encode(text)
    assert after.chat_template == before.chat_template
    assert (after.eos_id, after.pad_id, after.stop_ids) == (before.eos_id, before.pad_id, before.stop_ids)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q8_0", "BF16"])
def test_quantised_files_become_what_the_blocks_say(kind, tmp_path):
    decoder, quant = small(), gguf.GGMLQuantizationType[kind]
    save_gguf(decoder, Tokenizer.characters(), tmp_path / "whole.gguf", dtype="float32")
    reader = gguf.GGUFReader(tmp_path / "whole.gguf")
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    fields(writer, {"model_type": "llama"}, decoder)
    for tensor in reader.tensors:
        blocks = quantize(tensor.data, quant) if tensor.name == "token_embd.weight" else tensor.data
        writer.add_tensor(tensor.name, blocks, raw_dtype=quant if blocks is not tensor.data else None)
    finish(writer)
    found, _ = load_gguf(tmp_path / "m.gguf")
    expected = dequantize(quantize(np.asarray(decoder.embedding), quant), quant)
    np.testing.assert_array_equal(found.embedding, expected)
    assert 0 < np.abs(expected - np.asarray(decoder.embedding)).max() < 0.5
    assert (found.layers[1].attention.query.weight == decoder.layers[1].attention.query.weight).all()


class TestErrors:
    def test_no_such_file(self, tmp_path):
        with pytest.raises(UsageError, match=r"nothing\.gguf' does not exist"):
            load_gguf(tmp_path / "nothing.gguf")

    @pytest.mark.parametrize("keep", [0, 3, 100, 5_000, -40])
    def test_damaged_file(self, keep, tmp_path):
        path = tmp_path / "m.gguf"
        save_gguf(small(), Tokenizer.characters(), path)
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(UsageError, match="is no GGUF file, damaged, or was not downloaded whole"):
            load_gguf(path)

    def test_unknown_architecture(self, tmp_path):
        writer = gguf.GGUFWriter(tmp_path / "m.gguf", "mamba")
        writer.add_tensor("x", np.zeros((2, 2), np.float32))
        finish(writer)
        with pytest.raises(UsageError, match="architecture 'mamba'; supported are: llama, qwen2"):
            load_gguf(tmp_path / "m.gguf")

    def test_missing_field(self, tmp_path):
        writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
        writer.add_tensor("token_embd.weight", np.zeros((2, 2), np.float32))
        finish(writer)
        with pytest.raises(UsageError, match=r"has no llama\.attention\.head_count"):
            load_gguf(tmp_path / "m.gguf")

    def test_shapes_that_are_not_written(self, tmp_path):
        with pytest.raises(UsageError, match="this is mistral with silu and windows; export it with --to hf"):
            save_gguf(small(windows=(4, 4)), Tokenizer.characters(), tmp_path / "m.gguf")
        with pytest.raises(UsageError, match="dtype is 'int8'"):
            save_gguf(small(), Tokenizer.characters(), tmp_path / "m.gguf", dtype="int8")
        with pytest.raises(UsageError, match="the tokenizer has 258 tokens, the model's embedding only 100"):
            save_gguf(small(vocab_size=100), Tokenizer.characters(), tmp_path / "m.gguf")
        assert not list(tmp_path.iterdir())
