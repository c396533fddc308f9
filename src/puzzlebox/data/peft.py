"""Low-rank adapters as directories of PEFT: ``adapter_config.json`` and ``adapter_model.safetensors``.

Tensors are named ``base_model.model.MODULE.lora_A.weight`` (``[rank, inputs]``) and ``….lora_B.weight``
(``[outputs, rank]``), where MODULE is transformers' name of the layer.

Where a family holds query, key and value in one layer (gpt2, gpt_neox) our three adapters of rank r become one of rank
3r whose B is zero outside three blocks; read again, each of the three has rank 3r, and the function is the same.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from puzzlebox.data.families import family_of
from puzzlebox.data.huggingface import open_weights, read_json
from puzzlebox.data.tensors import Tensor, huggingface_tensors, pack, path_name, unpack
from puzzlebox.errors import UsageError
from puzzlebox.nets.decoder import Decoder
from puzzlebox.nets.linear import Linear, linear_places

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Settings that change what an adapter computes; each must be absent, false or empty.
REFUSED: tuple[str, ...] = (
    "use_dora",
    "modules_to_save",
    "trainable_token_indices",
    "use_qalora",
    "lora_bias",
    "target_parameters",
)
REFUSED += ("alora_invocation_tokens", "layer_replication", "use_bdlora", "arrow_config", "kasa_config")
CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")  # initialisations that change the model's own weights


def save_adapter(decoder: Decoder, directory: str | Path, base_name: str = "") -> None:
    """Writes the decoder's adapters so that peft opens them on the transformers model ``base_name`` (name or path).

    Raises UsageError when the decoder has no adapters or no Hugging Face family holds its shape.
    """
    family, layers = family_of(decoder.config), named_layers(decoder)
    # A and B of every adapted layer.
    arrays: dict[str, np.ndarray] = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    names = adaptable_layers(decoder, family)
    for module, tensor in names.items():
        adapted = [layers[path.removesuffix(".weight")] for path in tensor.paths]
        rank = sum(layer.lora_a.shape[1] for layer in adapted if layer.lora_a is not None)
        if not rank:
            continue
        ranks[module] = rank
        alphas[module] = rank * next(layer.lora_scale for layer in adapted if layer.lora_a is not None)
        a, b = side_by_side(adapted, ranks[module])
        arrays[f"{tensor_prefix(module)}.lora_A.weight"] = np.ascontiguousarray(a.T)
        arrays[f"{tensor_prefix(module)}.lora_B.weight"] = np.ascontiguousarray(
            outputs_by_inputs(tensor, pack(tensor, [part.T for part in b]))
        )
    if not arrays:
        raise UsageError("the model has no adapters to save; it was trained in full: export it with --to hf")
    # PEFT states one rank and one alpha, and the layers that differ.
    rank, alpha = next(iter(ranks.values())), next(iter(alphas.values()))
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": rank,
        "lora_alpha": plain_number(alpha),
        "target_modules": target_modules(list(names), list(ranks)),
        "rank_pattern": {module: r for module, r in ranks.items() if r != rank},
        "alpha_pattern": {module: plain_number(x) for module, x in alphas.items() if x != alpha},
        "fan_in_fan_out": family == "gpt2",
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "init_lora_weights": True,
        "inference_mode": True,
    }
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    save_file(arrays, directory / WEIGHTS, metadata={"format": "pt"})
    (directory / CONFIG).write_text(json.dumps(settings, indent=2) + "\n")


def load_adapter(decoder: Decoder, directory: str | Path) -> Decoder:
    """``decoder`` with the adapters of a PEFT directory in place of its own.

    Raises UsageError for another kind of adapter (DoRA, trained biases, whole modules, …), pickled weights, and tensors
    that do not fit the decoder.
    """
    directory = Path(directory)
    settings = read_json(directory, CONFIG)
    check_settings(settings, directory)
    names = adaptable_layers(decoder, family_of(decoder.config))
    # All layers without adapters; those that the file names get theirs.
    layers = {path: Linear(layer.weight, layer.bias) for path, layer in named_layers(decoder).items()}
    with open_weights(directory / WEIGHTS) as file:
        # PEFT adds a copy of the model's own output layer where that is adapted.
        held = {common_tensor_name(name): name for name in file.keys() if ".base_layer." not in name}  # noqa: SIM118
        known = {f"{tensor_prefix(module)}.lora_{x}.weight": module for module in names for x in "AB"}
        strange = sorted(held.keys() - known.keys())
        if strange:
            raise UsageError(f"{directory} adapts {strange[0]}, which this model does not have or cannot adapt")
        for module in {known[name]: None for name in held}:
            tensor = names[module]
            try:
                a, b = (
                    file.get_tensor(held[f"{tensor_prefix(module)}.lora_{x}.weight"]).astype(np.float32) for x in "AB"
                )
            except KeyError as error:
                raise UsageError(f"{directory / WEIGHTS} lacks the tensor {error.args[0]}") from None
            paths = [path.removesuffix(".weight") for path in tensor.paths]
            inputs = layers[paths[0]].weight.shape[1]
            outputs = sum(layers[path].weight.shape[0] for path in paths)
            if a.shape != (len(a), inputs) or b.shape != (outputs, len(a)):
                raise UsageError(
                    f"{directory}: the adapter of {module} has shapes {a.shape} and {b.shape}; "
                    f"this model's layer has {inputs} inputs and {outputs} outputs"
                )
            scale = adapter_scale(settings, module, len(a))
            for path, part in zip(paths, unpack(tensor, outputs_by_inputs(tensor, b)), strict=True):
                layer = layers[path]
                layers[path] = Linear(layer.weight, layer.bias, jnp.array(a.T), jnp.array(part.T), scale)
    places = linear_places(decoder)
    return eqx.tree_at(
        lambda m: [where(m) for _, where in places], decoder, [layers[path_name(path)] for path, _ in places]
    )


def check_settings(settings: dict, directory: Path) -> None:
    """Raises UsageError for adapters other than plain LoRA, and where their weights are missing or pickled."""
    if settings.get("peft_type") != "LORA":
        raise UsageError(f"{directory} holds a {settings.get('peft_type')} adapter; only LORA is supported")
    for name in REFUSED:
        if settings.get(name):
            raise UsageError(f"{directory} has {name} set, which is not supported; merge it into the model with peft")
    if settings.get("bias", "none") != "none":
        raise UsageError(
            f"{directory} trained biases too (bias '{settings['bias']}'); merge it into the model with peft"
        )
    start = settings.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(CHANGES_BASE):
        raise UsageError(f"{directory} was started with {start}, which changes the model's own weights; save it merged")
    if not (directory / WEIGHTS).is_file():
        pickled = " (adapter_model.bin is a pickle, which is not opened)" * (directory / "adapter_model.bin").is_file()
        raise UsageError(f"'{directory}' has no {WEIGHTS}{pickled}; save it with peft's save_pretrained")


def adaptable_layers(decoder: Decoder, family: str) -> dict[str, Tensor]:
    """The layers that can be adapted, by transformers' names, and the tensor of weights of each."""
    paths = named_layers(decoder)
    table = huggingface_tensors(decoder.config, family)
    found = {t.name.removesuffix(".weight"): t for t in table if t.paths[0].removesuffix(".weight") in paths}
    return {"lm_head" if name == "embed_out" else name: t for name, t in found.items() if t.name.endswith(".weight")}


def named_layers(decoder: Decoder) -> dict[str, Linear]:
    """Every `Linear` of the decoder by its path, such as ``layers.3.attention.query``."""
    return {path_name(path): where(decoder) for path, where in linear_places(decoder)}


def tensor_prefix(module: str) -> str:
    return f"base_model.model.{module}"


def common_tensor_name(name: str) -> str:
    """gpt_neox calls its output layer embed_out; here it is lm_head in every family."""
    return name.replace("base_model.model.embed_out.", "base_model.model.lm_head.")


def side_by_side(layers: list[Linear], rank: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """One A ``[inputs, rank]`` for all layers, and for each a B ``[rank, outputs]`` that is zero outside its rows."""
    parts, rows = [], []
    used = 0
    for layer in layers:
        b = np.zeros((rank, len(layer.weight)), np.float32)
        if layer.lora_a is not None and layer.lora_b is not None:
            own = layer.lora_a.shape[1]
            b[used : used + own] = layer.lora_b
            rows.append(np.asarray(layer.lora_a, np.float32))
            used += own
        parts.append(b)
    return np.concatenate(rows, axis=1), parts


def outputs_by_inputs(tensor: Tensor, x: np.ndarray) -> np.ndarray:
    """A weight as the family's file has it as ``[outputs, inputs]``, or back: a transpose for gpt2, else itself."""
    return x.T if tensor.kind in ("transposed", "columns") else x


def target_modules(names: list[str], adapted: list[str]) -> list[str]:
    """PEFT's ``target_modules`` for exactly the adapted layers.

    The last parts of their names, as usual, or their whole names where the last parts would also match others.
    """
    endings = {name.rpartition(".")[2] for name in adapted}
    meant = {name for name in names if name.rpartition(".")[2] in endings}
    return sorted(endings) if meant == set(adapted) else sorted(adapted)


def adapter_scale(settings: dict, module: str, rank: int) -> float:
    """alpha / rank, or alpha / √rank for rank-stabilised LoRA; ``alpha_pattern`` may name the module."""
    alpha = settings["lora_alpha"]
    for pattern, value in (settings.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            alpha = value
            break
    return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def plain_number(x: float) -> Any:
    """32 rather than 32.0, as PEFT writes it."""
    return int(x) if x == int(x) else x
