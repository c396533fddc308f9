"""What transformers computes for a small random model of every family: writes tests/data/expected/NAME.json.

Run by hand when a case is added: python tests/peers/make_expected.py (needs torch and transformers). The weights are
not stored: `weights` draws them again from numpy, in the order of their names.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

EXPECTED = Path(__file__).parent.parent / "data" / "expected"
TOKENS = 24
SMALL = {"vocab_size": 61, "max_position_embeddings": 64, "num_hidden_layers": 2, "hidden_size": 24}
SMALL |= {"num_attention_heads": 4, "intermediate_size": 40, "initializer_range": 0.02}
GROUPED = SMALL | {"num_key_value_heads": 2}
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 16}
FULL, NARROW = "full_attention", "sliding_attention"
GEMMA = GROUPED | {"head_dim": 8, "num_hidden_layers": 3, "sliding_window": 6}
CASES: dict[str, dict] = {
    "llama": GROUPED | {"model_type": "llama", "rope_parameters": LLAMA3 | {"rope_theta": 500.0}},
    "llama_transformers_4": GROUPED
    | {"model_type": "llama", "rope_theta": 300.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    | {"head_dim": 10, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "hidden_act": "gelu_new"},
    "mistral": GROUPED | {"model_type": "mistral", "sliding_window": 5, "rope_theta": 200.0},
    "qwen2": GROUPED | {"model_type": "qwen2", "tie_word_embeddings": True, "rope_theta": 1000.0},
    "qwen2_window": GROUPED
    | {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
    "qwen3": GROUPED | {"model_type": "qwen3", "head_dim": 8, "rope_parameters": {"rope_theta": 100.0}},
    "qwen3_window": GROUPED
    | {"model_type": "qwen3", "head_dim": 6, "attention_bias": True, "tie_word_embeddings": True}
    | {"use_sliding_window": True, "sliding_window": 4, "layer_types": [NARROW, FULL]},
    "gpt2": {"model_type": "gpt2", "vocab_size": 61, "n_positions": 32, "n_layer": 2, "n_embd": 24, "n_head": 4},
    "gpt_neox": SMALL | {"model_type": "gpt_neox", "rotary_pct": 0.5, "rotary_emb_base": 100},
    "gpt_neox_sequential": SMALL
    | {"model_type": "gpt_neox", "use_parallel_residual": False, "tie_word_embeddings": True, "attention_bias": False},
    "gemma2": GEMMA
    | {"model_type": "gemma2", "query_pre_attn_scalar": 12}
    | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "gemma3": GEMMA
    | {"model_type": "gemma3_text", "query_pre_attn_scalar": 8, "sliding_window_pattern": 2, "rope_theta": 5000.0}
    | {"rope_local_base_freq": 50.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    "gemma3_untied": GEMMA
    | {"model_type": "gemma3_text", "layer_types": [NARROW, FULL, NARROW], "tie_word_embeddings": False}
    | {
        "rope_parameters": {
            FULL: {"rope_type": "default", "rope_theta": 400.0},
            NARROW: {"rope_type": "default", "rope_theta": 20.0},
        }
    },
}


def weights(shapes: dict[str, list[int]], family: str) -> dict[str, np.ndarray]:
    """Random weights large enough that every part of the model shows in the result."""
    rng = np.random.default_rng(0)
    drawn = {}
    for name in sorted(shapes):
        x = 0.3 * rng.standard_normal(shapes[name]).astype(np.float32)
        is_norm = name.endswith("weight") and ("norm" in name or ".ln_" in name)
        drawn[name] = x + np.float32(1) if is_norm and not family.startswith("gemma") else x
    return drawn


def tokens(vocab_size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, vocab_size, TOKENS)


def write(directory: Path, config: dict, shapes: dict[str, list[int]]) -> None:
    """The model as a Hugging Face directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    drawn = weights(shapes, config["model_type"])
    save_file(drawn, directory / "model.safetensors", metadata={"format": "pt"})


def log_probs(directory: Path, row: np.ndarray) -> np.ndarray:
    """What transformers says of the model in ``directory``: log-probabilities ``[T, V]`` after each token."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(torch.tensor(row)[None]).logits[0].log_softmax(-1).numpy()


def tensor_shapes(config: dict) -> dict[str, list[int]]:
    """Names and shapes of the tensors in the file that transformers writes for this configuration."""
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "config.json").write_text(json.dumps(config))
        AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(name)).save_pretrained(name)
        with safe_open(Path(name) / "model.safetensors", "numpy") as file:
            return {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118


def main() -> None:
    EXPECTED.mkdir(exist_ok=True)
    for name, config in CASES.items():
        shapes = tensor_shapes(config)
        row = tokens(config["vocab_size"])
        with tempfile.TemporaryDirectory() as directory:
            write(Path(directory), config, shapes)
            found = log_probs(Path(directory), row)
        chosen = [round(float(found[t, row[t + 1]]), 6) for t in range(len(row) - 1)]
        text = json.dumps({"config": config, "log_probs": chosen, "shapes": shapes})
        (EXPECTED / f"{name}.json").write_text(text + "\n")
        print(name, len(text), chosen[:3])


if __name__ == "__main__":
    main()
