"""Hugging Face's model files: a family's config.json and safetensors as a `GPT`, and a `GPT` as them.

Files are mapped into memory and read tensor by tensor. What needs no rearranging stays in the file until
it is used; what does is copied, and its pages of the file are let go. So no second copy of a model is
ever held.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from groundup.errors import CorruptFileError, InputError, nearest
from groundup.files import write_json
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.tokenizer.files import read_json
from groundup.weights.families import OURS, Family, family_for, family_of
from groundup.weights.layouts import Layout

FLOATS = ("F64", "F32", "F16", "BF16")
INDEX = "model.safetensors.index.json"
# Models that see and hear have the text model inside: its config under this key, its tensors under one
# of these names.
TEXT_CONFIG = "text_config"
PREFIXES = ("", "language_model.", "model.language_model.")
OTHER_SENSES = ("vision_tower.", "multi_modal_projector.", "visual.", "audio_tower.", "mtp.")


@dataclass
class Slot:
    """One of their tensors, and those of ours that are made of it."""

    layout: Layout
    theirs: str
    ours: list[str] = field(default_factory=list)


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


def describe(config: ModelConfig) -> tuple[dict[str, Any], Family | None]:
    """The content of a config.json for `config`: of the family that covers it, or of our own kind."""
    family = family_for(config)
    if family is None:
        ours = {"model_type": OURS, "architectures": ["GPT"]}
        return ours | {"dtype": "float32"} | config.model_dump(), None
    return family.write(config) | {"dtype": "float32"}, family


# Names


def slots(names: Iterable[str], family: Family | None) -> list[Slot]:
    """Which of their tensors holds which of ours, in the order of ours."""
    places = {} if family is None else _by_module(family)
    found: dict[str, Slot] = {}
    for name in names:
        numbers = re.findall(r"(?<=\.)\d+(?=\.)", name)
        pattern = re.sub(r"(?<=\.)\d+(?=\.)", "*", name)
        module, _, suffix = pattern.rpartition(".")
        if module in places:
            layout, ending = places[module], f".{suffix}"
        else:
            layout, ending = places.get(pattern, Layout(pattern)), ""
        theirs = layout.theirs
        for number in numbers:
            theirs = theirs.replace("*", number, 1)
        found.setdefault(theirs + ending, Slot(layout, theirs + ending)).ours.append(name)
    return list(found.values())


def _by_module(family: Family) -> dict[str, Layout]:
    return {
        name: layout if isinstance(layout, Layout) else Layout(layout)
        for ours, layout in family.names.items()
        for name in ((ours,) if isinstance(ours, str) else ours)
    }


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
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (not a mapping)
                    part = file.get_slice(name)
                    stored[name] = Stored(path, name, tuple(part.get_shape()), part.get_dtype())
        except (SafetensorError, OSError) as error:
            raise CorruptFileError(
                f"the weights are cut or changed ({error})", str(path),
                "copy or save the model again",
            ) from None  # fmt: skip
    return stored


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


def missing_weights(directory: Path) -> InputError:
    """The error for a folder without safetensors: it may have weights of another kind."""
    pickles = sorted(p.name for s in ("bin", "pt", "pth", "ckpt") for p in directory.glob(f"*.{s}"))
    if pickles:
        return InputError(
            f"{pickles[0]} is a pickle file: loading one runs whatever program its maker put in",
            str(directory), "get the model as safetensors (most hubs offer both)",
        )  # fmt: skip
    return InputError(
        "the weights are missing", str(directory / "model.safetensors"), "copy the folder again"
    )


# Reading


def read_model(directory: Path, dtype: torch.dtype = torch.float32) -> GPT:
    """The model of a directory, ready for use (dropout off).

    Raises `CorruptFileError` where tensors are cut, missing, too many or of a wrong shape.
    """
    config, family = read_config(directory / "config.json")
    stored = stored_tensors(directory)
    with torch.device("meta"):  # no memory, no initialisation: the weights are put in whole
        model = GPT(config)
    wanted = dict(model.named_parameters())
    plan = slots(wanted, family)
    found = _match(plan, stored, wanted, config, family, directory)
    weights = {}
    for slot in plan:
        theirs = found[slot.theirs].read().to(dtype)
        ours = slot.layout.to_ours(theirs, [wanted[name].shape for name in slot.ours], config)
        for name, tensor in zip(slot.ours, ours, strict=True):
            # A view of a part keeps the whole alive, which is all used; a turned one is made straight.
            weights[name] = tensor.contiguous()
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    return model.eval()


def _match(
    plan: list[Slot],
    stored: Mapping[str, Stored],
    wanted: Mapping[str, Tensor],
    config: ModelConfig,
    family: Family | None,
    directory: Path,
) -> dict[str, Stored]:
    """For each slot its stored tensor; refuses missing, wrongly shaped and unknown ones."""
    prefix = _prefix(stored, [slot.theirs for slot in plan])
    named = {slot.theirs: prefix(slot.theirs) for slot in plan}
    missing = [name for name in named.values() if name not in stored]
    known = set(named.values()) | {prefix("lm_head.weight")}
    ignored = family.ignored if family else ()
    extra = [
        name for name in stored
        if name not in known
        and not name.startswith(OTHER_SENSES) and ".visual." not in name
        and not any(part in name for part in OTHER_SENSES)
        and not name.endswith(("rotary_emb.inv_freq", *ignored))
    ]  # fmt: skip
    if missing:
        raise CorruptFileError(
            f"{_listed(missing, 'tensor', 'is', 'are')} missing", str(directory),
            _nearest_names(missing, extra),
        )  # fmt: skip
    if extra:
        raise CorruptFileError(
            f"the config does not know {_listed(extra, 'tensor', '', '').strip()}", str(directory),
            "use the config.json saved with these weights",
        )  # fmt: skip
    for slot in plan:
        tensor = stored[named[slot.theirs]]
        shape = slot.layout.to_theirs([wanted[name] for name in slot.ours], config).shape
        _check(tensor, tuple(shape))
    return {slot.theirs: stored[named[slot.theirs]] for slot in plan}


def _prefix(stored: Mapping[str, Stored], names: list[str]):
    """How the names in these files differ from the family's: the text model may stand inside another,
    and files of the bare model (GPT-2's) leave the model's own name out."""

    def within(prefix: str):
        return lambda name: (
            prefix + name.removeprefix("model.") if prefix.endswith("model.language_model.")
            else prefix + name
        )  # fmt: skip

    def bare(name: str) -> str:
        return name.removeprefix("transformer.").removeprefix("model.")

    candidates = [*map(within, PREFIXES), bare]
    return max(candidates, key=lambda rename: sum(rename(name) in stored for name in names))


def _check(tensor: Stored, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise CorruptFileError(
            f"tensor {tensor.name!r} has shape {tensor.shape}, but the config asks for {shape}",
            str(tensor.file), "use the config.json that was saved with these weights",
        )  # fmt: skip
    if tensor.dtype not in FLOATS:
        raise InputError(
            f"tensor {tensor.name!r} is stored as {tensor.dtype}", str(tensor.file),
            f"supported: {', '.join(FLOATS)}; get the model without quantisation",
        )  # fmt: skip


def _listed(names: list[str], noun: str, one: str, many: str) -> str:
    shown = ", ".join(map(repr, names[:5])) + (
        f" and {len(names) - 5} more" if len(names) > 5 else ""
    )
    return f"{noun} {shown} {one}" if len(names) == 1 else f"{noun}s {shown} {many}"


def _nearest_names(missing: list[str], extra: list[str]) -> str:
    close = {name: nearest(name, extra) for name in missing[:3]}
    found = [f"{other!r} for {name!r}" for name, other in close.items() if other]
    if not found:
        return "use the config.json saved with these weights, or copy the folder again"
    return f"the nearest names there are {', '.join(found)}"


# Writing

SHARD_SIZE = "5GB"


def write_model(model: GPT, directory: Path, token_ids: Mapping[str, Any]) -> str:
    """Write config.json and the safetensors of `model`; returns the `model_type` written.

    `token_ids` go into the config, where older programs look for them; those that are not given are
    written as none, as some families have defaults for theirs."""
    config, family = describe(model.config)
    none = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    write_json(directory / "config.json", config | none | dict(token_ids))
    # A tied output matrix is the embedding, so named_parameters has it once.
    ours = {name: p.detach().cpu() for name, p in model.named_parameters()}
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
    return config["model_type"]
