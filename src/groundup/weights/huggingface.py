"""Hugging Face's model files: a family's config.json and safetensors as a `GPT`, and a `GPT` as them.

Files are mapped into memory and read tensor by tensor. What needs no rearranging stays in the file until
it is used; what does is copied, and its pages of the file are let go. So no second copy of a model is
ever held.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from groundup.errors import CorruptFileError, InputError
from groundup.files import write_json
from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.lora import dense_parameters
from groundup.tokenizer.files import read_json
from groundup.weights.assembly import Model, Source, blank, fill, slots
from groundup.weights.families import CLASSIFIES, OURS, Family, family_for, family_of
from groundup.weights.stored import tensor_heads

FLOATS = ("F64", "F32", "F16", "BF16")
INDEX = "model.safetensors.index.json"
# Models that see and hear have the text model inside: its config under this key, its tensors under
# another name; files of the bare model (GPT-2's) leave the model's own name out. How a family's names
# begin, and how they do in such files:
BEGINNINGS = (
    ("", ""), ("", "language_model."), ("model.", "model.language_model."), ("transformer.", ""),
    ("model.", ""),
)  # fmt: skip
TEXT_CONFIG = "text_config"
OUR_CLASSIFIER = "Classifier"
OTHER_SENSES = ("vision_tower.", "multi_modal_projector.", "visual.", "audio_tower.", "mtp.")


# Configurations


def read_config(path: Path) -> tuple[ModelConfig, Family | None]:
    """The configuration in a config.json, and the family that it is of (None: groundup's own)."""
    given = read_json(path)
    if TEXT_CONFIG in given:
        given = {"tie_word_embeddings": given.get("tie_word_embeddings"), **given[TEXT_CONFIG]}
    kind = str(given.get("model_type"))
    if kind == OURS:
        known = {name: value for name, value in given.items() if name in ModelConfig.model_fields}
        return ModelConfig.parse(known, str(path)), None
    family = family_of(kind, str(path))
    return family.read(given, str(path)), family


def describe(config: ModelConfig, family: Family | None) -> dict[str, Any]:
    """The content of a config.json for `config`: of the family, which covers it, or of our own kind."""
    if family is None:
        ours = {"model_type": OURS, "architectures": ["GPT"]}
        return ours | {"dtype": "float32"} | config.model_dump()
    named = {"model_type": family.model_type, "architectures": [family.architecture]}
    return named | family.write(config) | {"dtype": "float32"}


def gives_labels(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a classifier, ours or anybody's."""
    architectures = config.get("architectures") or []
    return any(str(name).endswith((CLASSIFIES, OUR_CLASSIFIER)) for name in architectures)


# Files


@dataclass(frozen=True)
class Stored:
    """A tensor in a file, before it is read."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str

    def read(self) -> Tensor:
        """The tensor, mapped into memory by itself, so that it can be let go by itself."""
        with safe_open(self.file, framework="pt") as file:
            return file.get_tensor(self.name)


def stored_tensors(directory: Path) -> dict[str, Stored]:
    """All tensors of a model directory by name. Reads the heads of the files only."""
    stored: dict[str, Stored] = {}
    for path in weight_files(directory):
        stored |= tensors_in(path)
    return stored


def tensors_in(path: Path) -> dict[str, Stored]:
    """All tensors of a safetensors file by name. Reads its head only."""
    try:
        return {name: Stored(path, name, shape, dtype) for name, shape, dtype in tensor_heads(path)}
    except (SafetensorError, OSError) as error:
        raise CorruptFileError(
            f"the weights are cut or changed ({error})", str(path), "copy or save the model again"
        ) from None


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a model directory."""
    index = directory / INDEX
    if (directory / "model.safetensors").is_file():
        return [directory / "model.safetensors"]
    if not index.is_file():
        raise missing_weights(directory)
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(n, str) for n in weight_map.values()):
        raise CorruptFileError(
            "the index says of no tensor in which file it is", str(index), "copy the folder again"
        )
    names = sorted(set(weight_map.values()))
    for name in names:
        if Path(name).name != name:
            raise CorruptFileError(
                f"the index names a file outside the model's folder: {name!r}", str(index),
                "do not trust this folder; download the model again",
            )  # fmt: skip
        if not (directory / name).is_file():
            raise CorruptFileError(
                f"the index names {name!r}, which is not here", str(index), "copy the folder again"
            )
    return [directory / name for name in names]


def missing_weights(directory: Path, name: str = "model.safetensors") -> InputError:
    """The error for a folder without its safetensors: it may have weights of another kind."""
    pickles = sorted(p.name for s in ("bin", "pt", "pth", "ckpt") for p in directory.glob(f"*.{s}"))
    if pickles:
        return InputError(
            f"{pickles[0]} is a pickle file: loading one runs whatever program its maker put in",
            str(directory), "get the weights as safetensors (most hubs offer both)",
        )  # fmt: skip
    return InputError("the weights are missing", str(directory / name), "copy the folder again")


# Reading


def read_model(directory: Path, dtype: torch.dtype = torch.float32) -> GPT:
    """The language model of a directory, ready for use (dropout off).

    Raises `CorruptFileError` where tensors are cut, missing, too many or of a wrong shape, and
    `InputError` for a classifier.
    """
    config, family = read_config(directory / "config.json")
    if gives_labels(read_json(directory / "config.json")):
        raise InputError(
            "this model gives labels to texts: it does not write any", str(directory),
            "give it texts with `groundup classify`, or use the language model it was made from",
        )  # fmt: skip
    return read_weights(directory, GPT, config, family, dtype)


def read_weights(
    directory: Path,
    build: Callable[[ModelConfig], Model],
    config: ModelConfig,
    family: Family | None,
    dtype: torch.dtype,
) -> Model:
    """What `build` makes of `config`, with the weights of a directory, which are called as in the
    family. Raises as `read_model` does."""
    stored = stored_tensors(directory)
    model, plan = blank(build, config, family)
    named = renaming(stored, [slot.theirs for slot in plan])
    unused = ("rotary_emb.inv_freq", *(family.ignored if family else ()))

    def ignored(name: str) -> bool:
        other = any(part in name for part in OTHER_SENSES)
        return other or name.endswith(unused) or name == named("lm_head.weight")

    known = N_(f"{', '.join(FLOATS)}; get the model without quantisation")
    source = Source(stored, directory, FLOATS, known, named, ignored)
    return fill(model, plan, source, dtype)


def renaming(stored: Container[str], names: list[str]) -> Callable[[str], str]:
    """What these files call a tensor of the family: the way that finds most of `names` in them."""

    def named(beginning: tuple[str, str], name: str) -> str:
        ours, theirs = beginning
        return theirs + name.removeprefix(ours) if name.startswith(ours) else name

    ways = [partial(named, beginning) for beginning in BEGINNINGS]
    return max(ways, key=lambda way: sum(way(name) in stored for name in names))


# Writing

SHARD_SIZE = "5GB"


def write_model(model: GPT, directory: Path, token_ids: Mapping[str, Any]) -> str:
    """Write config.json and the safetensors of `model`; returns the `model_type` written.

    An adapter at work is merged into what is written, and what is in few bits is decoded: what is
    loaded computes the same. `token_ids` go into the config, where older programs look for them; those
    that are not given are written as none, as some families have defaults for theirs."""
    family = family_for(model.config)
    config = describe(model.config, family)
    write_files(model, directory, config | NO_TOKENS | dict(token_ids), family)
    return config["model_type"]


NO_TOKENS = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))


def write_files(
    model: GPT, directory: Path, config: Mapping[str, Any], family: Family | None
) -> None:
    """Write this config.json, and the safetensors of `model` by the names of the family."""
    write_json(directory / "config.json", dict(config))
    # A tied output matrix is the embedding, so it is there once.
    ours = {name: tensor.cpu() for name, tensor in dense_parameters(model).items()}
    tensors = {slot.theirs: slot for slot in slots(ours, family)}
    written = {
        name: slot.layout.to_theirs([ours[part] for part in slot.ours], model.config).contiguous()
        for name, slot in tensors.items()
    }
    split = split_torch_state_dict_into_shards(written, max_shard_size=SHARD_SIZE)
    for file, names in split.filename_to_tensors.items():
        part = {name: written[name] for name in names}
        save_file(part, directory / file, metadata={"format": "pt"})
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        write_json(directory / INDEX, index)
