"""Models as Hugging Face directories: ``config.json`` and ``model.safetensors``, whole or in shards.

`load_decoder` reads one into a `Decoder`, `save_decoder` writes one that transformers opens. The tokenizer's files are
not touched (see `Tokenizer.load` and `save`). Weights are read one tensor at a time; pickled ones
(``pytorch_model.bin``) are refused, since opening such a file runs whatever it contains.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from puzzlebox.data.families import config_json, decoder_config, differences, family_of, text_config
from puzzlebox.data.tensors import Tensor, build, huggingface_tensors, leaves, pack
from puzzlebox.errors import UsageError
from puzzlebox.nets.decoder import Decoder
from puzzlebox.nets.linear import merge_lora

SHARD_BYTES = 5_000_000_000
TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
# What some files hold beside the weights: constants, and the parts of gemma3 that see pictures.
IGNORED = re.compile(r"(\.attn\.(masked_)?bias|\.attention\.(masked_)?bias|\.inv_freq)$|vision_tower|multi_modal_proj")
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")


def load_decoder(directory: str | Path, dtype: Any = jnp.float32) -> Decoder:
    """The `Decoder` of a Hugging Face directory; arrays become ``dtype`` whatever the files hold.

    Raises UsageError: no ``config.json``, an architecture that the decoder does not cover, no safetensors, a truncated
    file, tensors that are missing, not expected or of the wrong shape.
    """
    directory = Path(directory)
    described = read_json(directory, "config.json")
    config = decoder_config(described)
    family = text_config(described)["model_type"]
    with ExitStack() as stack:
        files = [stack.enter_context(open_weights(path)) for path in weight_files(directory)]
        places = {common_name(name, family): (file, name) for file in files for name in file.keys()}  # noqa: SIM118
        if config.tied:
            for name in ("lm_head.weight", "embed_out.weight"):
                places.pop(name, None)  # a copy of the embedding

        def read(name: str) -> np.ndarray:
            file, own_name = places[name]
            return file.get_tensor(own_name)

        names = [name for name in places if not IGNORED.search(name)]
        return build(config, huggingface_tensors(config, family), names, read, dtype, str(directory))


def save_decoder(
    decoder: Decoder, directory: str | Path, original: str | Path | None = None, shard_bytes: int = SHARD_BYTES
) -> None:
    """Writes ``config.json`` and the weights so that transformers opens the directory; adapters are merged.

    ``original``: the directory that the model came from, whose family and special token ids are kept; without one the
    family is the one that fits the decoder's shape. More than ``shard_bytes`` of weights are written in shards. Raises
    UsageError when no family holds such a decoder.
    """
    directory, decoder = Path(directory), merge_lora(decoder)
    config = decoder.config
    before = text_config(read_json(Path(original), "config.json")) if original is not None else {}
    family = before.get("model_type")
    if family is None or differences(config, family):
        family = family_of(config)
    entries = config_json(config, family) | {"dtype": str(decoder.embedding.dtype)}
    entries |= {
        name: before.get(name) for name in TOKEN_IDS
    }  # null: transformers' own would name tokens of other models
    directory.mkdir(parents=True, exist_ok=True)
    written = write_weights(huggingface_tensors(config, family), leaves(decoder), directory, shard_bytes)
    (directory / "config.json").write_text(json.dumps(entries, indent=2) + "\n")
    for path in directory.iterdir():  # weights of a model that was here before
        if WEIGHTS.fullmatch(path.name) and path.name not in written:
            path.unlink()


def write_weights(table: list[Tensor], arrays: dict[str, Any], directory: Path, shard_bytes: int) -> set[str]:
    """Writes the tensors in as few files as ``shard_bytes`` allows; returns the files' names."""
    shards: list[list[Tensor]] = [[]]
    sizes = [0]
    for tensor in table:
        size = sum(arrays[path].nbytes for path in tensor.paths)
        if shards[-1] and sizes[-1] + size > shard_bytes:
            shards.append([])
            sizes.append(0)
        shards[-1].append(tensor)
        sizes[-1] += size
    names = ["model.safetensors"]
    if len(shards) > 1:
        names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        held = {t.name: np.ascontiguousarray(pack(t, [np.asarray(arrays[p]) for p in t.paths])) for t in shard}
        save_file(held, directory / f"{name}.part", metadata={"format": "pt"})  # transformers asks for this word
        (directory / f"{name}.part").replace(directory / name)
    if len(shards) == 1:
        return set(names)
    places = {tensor.name: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
    index = {"metadata": {"total_size": sum(sizes)}, "weight_map": places}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    return {*names, "model.safetensors.index.json"}


def read_json(directory: Path, name: str) -> dict:
    """The JSON file ``name`` of a model's directory; raises UsageError where it is missing or broken."""
    try:
        return json.loads((directory / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"'{directory}' has no {name}; a model is a Hugging Face directory (config.json, model.safetensors, "
            "tokenizer.json) or a .gguf file"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{directory / name} is not JSON: {error}") from None


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a model: one, or those that its index names. UsageError where they are missing."""
    if (directory / "model.safetensors").is_file():
        return [directory / "model.safetensors"]
    if (directory / "model.safetensors.index.json").is_file():
        index = read_json(directory, "model.safetensors.index.json")
        files = [directory / name for name in sorted(set(index["weight_map"].values()))]
        for path in files:
            if not path.is_file():
                raise UsageError(f"{path} is missing, model.safetensors.index.json names it; download it again")
        return files
    if any(directory.glob("pytorch_model*.bin")):
        raise UsageError(
            f"'{directory}' holds pytorch_model.bin, a pickle, which is not opened: it may run code; convert it: "
            "AutoModelForCausalLM.from_pretrained(…).save_pretrained(…) in transformers writes model.safetensors"
        )
    raise UsageError(f"'{directory}' has no model.safetensors and no model.safetensors.index.json")


def open_weights(path: Path) -> Any:
    """An open safetensors file, a context manager; raises UsageError for a damaged one."""
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise UsageError(f"{path} is damaged or was not downloaded whole: {error}") from None


def common_name(name: str, family: str) -> str:
    """The tensor's name as most files of the family have it: some publish the model without its outer prefix."""
    if family == "gpt2" and not name.startswith(("transformer.", "lm_head.")):
        return f"transformer.{name}"
    if family == "gpt_neox" and name == "lm_head.weight":
        return "embed_out.weight"
    if family == "gemma3_text":  # inside a model that also sees pictures
        name = re.sub(r"^(model\.language_model|language_model\.model)\.", "model.", name)
        return name.removeprefix("language_model.")
    return name
