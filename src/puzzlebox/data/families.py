"""The families of decoders that Hugging Face directories hold: ``config.json`` to `DecoderConfig` and back.

Source: the configuration classes of transformers, whose defaults hold where a file leaves a key out. Both layouts of
the rotary settings are read (``rope_theta`` with ``rope_scaling``, and ``rope_parameters``), and both are written.
"""

from __future__ import annotations

import math
from typing import Any

from puzzlebox.errors import UsageError
from puzzlebox.nets.decoder import DecoderConfig

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
}
GEMMA = ("gemma2", "gemma3_text")
# Published gemma3 files leave out what equals the class's default, and 4B's leaves out nearly everything.
GEMMA3 = {"vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}
ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
ACTIVATION_NAMES = {"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu"}
# Switches that change the computation and that the decoder does not have; anything but the value here is refused.
FIXED = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "use_bidirectional_attention": False,
}


def text_config(config: dict) -> dict:
    """The part of ``config.json`` that describes the decoder: all of it, or gemma3's ``text_config``."""
    if config.get("model_type") == "gemma3":
        tied = {"tie_word_embeddings": config["tie_word_embeddings"]} if "tie_word_embeddings" in config else {}
        return {**GEMMA3, **tied, **config.get("text_config", {}), "model_type": "gemma3_text"}
    return config


def decoder_config(config: dict) -> DecoderConfig:
    """The shape of the decoder that ``config.json`` describes.

    Raises UsageError for a family, a rotary scaling or a switch that the decoder does not have, and a missing key.
    """
    config = text_config(config)
    family = config.get("model_type")
    if family not in ARCHITECTURES:
        raise UsageError(f"config.json has model_type '{family}'; supported are: {', '.join(ARCHITECTURES)}")
    for name, value in FIXED.items():
        if (config.get(name, value) or False) != value:
            raise UsageError(f"config.json has {name} {config[name]}; only {value} is supported")
    if family == "gpt2":
        return gpt2_config(config)
    if family == "gpt_neox":
        return neox_config(config)
    return llama_config(config, family)


def llama_config(config: dict, family: str) -> DecoderConfig:
    """llama, mistral, qwen2, qwen3 and gemma: RMS norms, a gated feed-forward part, rotary positions."""
    gemma, gemma3 = family in GEMMA, family == "gemma3_text"
    width, heads = require(config, "hidden_size"), require(config, "num_attention_heads")
    head_dim = config.get("head_dim") or (128 if family == "qwen3" else 256 if gemma else width // heads)
    base, scaling = rope_settings(config, 1e6 if gemma3 else 1e4, "full_attention")
    local, local_scaling = rope_settings(config, 1e4, "sliding_attention") if gemma3 else (0.0, ())
    if local_scaling:
        raise UsageError("config.json scales the rotary positions of layers with a window; that is not supported")
    bias = bool(config.get("attention_bias"))
    scalar = config.get("query_pre_attn_scalar", 256) if gemma else head_dim
    activation = config.get("hidden_activation") or "gelu_pytorch_tanh" if gemma else config.get("hidden_act", "silu")
    return DecoderConfig(
        vocab_size=require(config, "vocab_size"),
        width=width,
        num_layers=require(config, "num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=head_dim,
        hidden=require(config, "intermediate_size"),
        context=config.get("max_position_embeddings", 2048),
        norm_epsilon=config.get("rms_norm_eps", 1e-6),
        activation=activation_name(activation),
        rope_base=base,
        rope_local_base=local,
        rope_scaling=scaling,
        qkv_bias=bias or family == "qwen2",
        out_bias=bias and family != "qwen2",
        mlp_bias=bool(config.get("mlp_bias")) and family == "llama",
        qk_norm=family in ("qwen3", "gemma3_text"),
        sandwich=gemma,
        windows=layer_windows(config, family),
        attention_softcap=(config.get("attn_logit_softcapping", 0 if gemma3 else 50.0) or 0.0) if gemma else 0.0,
        logit_softcap=(config.get("final_logit_softcapping", 0 if gemma3 else 30.0) or 0.0) if gemma else 0.0,
        embed_scale=math.sqrt(width) if gemma else 1.0,
        query_scale=0.0 if scalar == head_dim else scalar**-0.5,
        tied=config.get("tie_word_embeddings", gemma),
    )


def gpt2_config(config: dict) -> DecoderConfig:
    """gpt2: layer norms, learned positions, biases everywhere, keys of its own (``n_embd`` …)."""
    width, heads = require(config, "n_embd"), require(config, "n_head")
    return DecoderConfig(
        vocab_size=require(config, "vocab_size"),
        width=width,
        num_layers=require(config, "n_layer"),
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=width // heads,
        hidden=config.get("n_inner") or 4 * width,
        context=require(config, "n_positions"),
        norm="layer",
        norm_epsilon=config.get("layer_norm_epsilon", 1e-5),
        activation=activation_name(config.get("activation_function", "gelu_new")),
        gated=False,
        positions="learned",
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        tied=config.get("tie_word_embeddings", True),
    )


def neox_config(config: dict) -> DecoderConfig:
    """gpt_neox (Pythia): layer norms, attention and feed-forward in parallel, part of each head rotated."""
    width, heads = require(config, "hidden_size"), require(config, "num_attention_heads")
    bias = bool(config.get("attention_bias", True))
    base, scaling = rope_settings(config, config.get("rotary_emb_base", 1e4), "full_attention")
    return DecoderConfig(
        vocab_size=require(config, "vocab_size"),
        width=width,
        num_layers=require(config, "num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=width // heads,
        hidden=require(config, "intermediate_size"),
        context=config.get("max_position_embeddings", 2048),
        norm="layer",
        norm_epsilon=config.get("layer_norm_eps", 1e-5),
        activation=activation_name(config.get("hidden_act", "gelu")),
        gated=False,
        rope_base=base,
        rope_fraction=(config.get("rope_parameters") or {}).get(
            "partial_rotary_factor", config.get("rotary_pct", 0.25)
        ),
        rope_scaling=scaling,
        qkv_bias=bias,
        out_bias=bias,
        mlp_bias=True,
        parallel=config.get("use_parallel_residual", True),
        tied=config.get("tie_word_embeddings", False),
    )


def require(config: dict, key: str) -> Any:
    """The value of ``key``; raises UsageError where it is missing or null."""
    if config.get(key) is None:
        raise UsageError(f"config.json has no '{key}', which model_type '{config['model_type']}' needs")
    return config[key]


def activation_name(name: str) -> str:
    """The decoder's name of an activation; raises UsageError for one that it does not have."""
    if name not in ACTIVATIONS:
        raise UsageError(f"config.json has the activation '{name}'; supported are: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def rope_settings(config: dict, base: float, kind: str) -> tuple[float, tuple]:
    """Base and scaling of the rotary positions, for layers of ``kind`` where the file distinguishes them.

    ``base`` is the family's default. The scaling is as in `DecoderConfig`. Raises UsageError for an unknown scaling.
    """
    values = config.get("rope_parameters") or {}  # transformers 5; one set for all layers, or one per kind of layer
    if kind in values or "full_attention" in values:
        values = values.get(kind) or {}
    old_base = {"full_attention": "rope_theta", "sliding_attention": "rope_local_base_freq"}[kind]
    base = float(values.get("rope_theta") or config.get(old_base) or base)
    if kind == "full_attention":
        values = config.get("rope_scaling") or values
    name = values.get("rope_type") or values.get("type") or "default"
    if name == "default":
        return base, ()
    if name == "linear":
        return base, ("linear", float(values["factor"]))
    if name == "llama3":
        original = values.get("original_max_position_embeddings") or require(config, "max_position_embeddings")
        low, high = float(values["low_freq_factor"]), float(values["high_freq_factor"])
        return base, ("llama3", float(values["factor"]), low, high, int(original))
    raise UsageError(f"config.json has the rotary scaling '{name}'; supported are: default, linear, llama3")


def layer_windows(config: dict, family: str) -> tuple[int, ...]:
    """The attention window of each layer in tokens, 0 for the whole context; () where no layer has a window."""
    layers, window = config["num_hidden_layers"], config.get("sliding_window", 4096) or 0
    if family == "mistral":
        narrow = [True] * layers
    elif family in GEMMA or (family in ("qwen2", "qwen3") and config.get("use_sliding_window")):
        period = 2 if family == "gemma2" else config.get("sliding_window_pattern", 6)
        narrow = [bool((i + 1) % period) for i in range(layers)]
        if family not in GEMMA:
            narrow = [i >= config.get("max_window_layers", 28) for i in range(layers)]
        if config.get("layer_types"):
            narrow = [kind == "sliding_attention" for kind in config["layer_types"]]
    else:
        return ()
    return tuple(window * here for here in narrow) if window and any(narrow) else ()


def family_of(config: DecoderConfig) -> str:
    """The family whose files can hold a decoder of this shape; UsageError names what no family has."""
    if config.positions == "learned":
        family = "gpt2"
    elif config.norm == "layer":
        family = "gpt_neox"
    elif config.sandwich:
        family = "gemma3_text" if config.qk_norm else "gemma2"
    elif config.qk_norm:
        family = "qwen3"
    elif config.qkv_bias and not config.out_bias:
        family = "qwen2"
    else:
        family = "mistral" if any(config.windows) else "llama"
    lost = differences(config, family)
    if lost:
        raise UsageError(f"no Hugging Face family holds this decoder; {family} comes nearest but lacks: {lost}")
    return family


def differences(config: DecoderConfig, family: str) -> str:
    """The fields of ``config`` that the family's ``config.json`` cannot express, as text; empty when it holds them all.

    Found by writing ``config.json`` and reading it back.
    """
    if not any(config.windows):
        config = config._replace(windows=())
    reread = decoder_config(config_json(config, family))
    if family == "gpt2":  # has no rotary settings
        reread = reread._replace(rope_base=config.rope_base)
    fields = zip(config._fields, config, reread, strict=True)
    return ", ".join(f"{name} {own}" for name, own, other in fields if own != other)


def config_json(config: DecoderConfig, family: str) -> dict:
    """``config.json`` of a decoder as a model of ``family``; transformers 4 and 5 both read it."""
    c = config
    entries: dict[str, Any] = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "vocab_size": c.vocab_size,
    }
    activation = ACTIVATION_NAMES[c.activation]
    # gpt2 has names of its own for everything
    if family == "gpt2":
        names = {"gelu_pytorch_tanh": "gelu_new"}
        return entries | {
            "n_embd": c.width,
            "n_layer": c.num_layers,
            "n_head": c.num_heads,
            "n_inner": c.hidden,
            "n_positions": c.context,
            "layer_norm_epsilon": c.norm_epsilon,
            "activation_function": names.get(activation, activation),
            "tie_word_embeddings": c.tied,
        }
    # what all other families share
    entries |= {
        "hidden_size": c.width,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": c.num_heads,
        "intermediate_size": c.hidden,
        "max_position_embeddings": c.context,
        "tie_word_embeddings": c.tied,
    } | rope_json(c, family)
    if family == "gpt_neox":
        return entries | {
            "hidden_act": activation,
            "layer_norm_eps": c.norm_epsilon,
            "attention_bias": c.qkv_bias,
            "use_parallel_residual": c.parallel,
        }
    # the families with RMS norms, which differ in biases and windows
    entries |= {"num_key_value_heads": c.num_kv_heads, "head_dim": c.head_dim, "rms_norm_eps": c.norm_epsilon}
    entries["hidden_activation" if family in GEMMA else "hidden_act"] = activation
    window = max(c.windows, default=0) or None
    if family == "mistral":
        return entries | {"sliding_window": window}
    if family == "llama":
        return entries | {"attention_bias": c.out_bias, "mlp_bias": c.mlp_bias}
    kinds = ["sliding_attention" if w else "full_attention" for w in c.windows or (0,) * c.num_layers]
    entries |= {"sliding_window": window, "layer_types": kinds}
    if family in GEMMA:
        entries |= {"sliding_window": window or 4096, "attention_bias": c.out_bias}
        entries |= {"query_pre_attn_scalar": round(c.query_scale**-2) if c.query_scale else c.head_dim}
        return entries | {
            "attn_logit_softcapping": c.attention_softcap or None,
            "final_logit_softcapping": c.logit_softcap or None,
        }
    entries |= {"use_sliding_window": window is not None, "max_window_layers": c.num_layers}
    return entries | ({"attention_bias": c.out_bias} if family == "qwen3" else {})


def rope_json(c: DecoderConfig, family: str) -> dict:
    """The rotary settings in both layouts: ``rope_parameters`` (transformers 5), and the older keys beside it."""
    scaling: dict[str, Any] = {"rope_type": "default"}
    if c.rope_scaling and c.rope_scaling[0] == "linear":
        scaling = {"rope_type": "linear", "factor": c.rope_scaling[1]}
    elif c.rope_scaling:
        names = ("rope_type", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        scaling = dict(zip(names, c.rope_scaling, strict=True))
    old: dict[str, Any] = {"rope_scaling": scaling} if c.rope_scaling else {}
    full = scaling | {"rope_theta": c.rope_base}
    if family == "gemma3_text":
        sliding = {"rope_type": "default", "rope_theta": c.rope_local_base}
        both = {"full_attention": full, "sliding_attention": sliding}
        return {"rope_parameters": both, "rope_theta": c.rope_base, "rope_local_base_freq": c.rope_local_base} | old
    if family == "gpt_neox":
        old |= {"rotary_emb_base": c.rope_base, "rotary_pct": c.rope_fraction}
        old.pop("rope_scaling", None)  # transformers 5 takes it instead of rope_parameters and loses the fraction
        return {"rope_parameters": full | {"partial_rotary_factor": c.rope_fraction}} | old
    return {"rope_parameters": full, "rope_theta": c.rope_base} | old
