"""GGUF, llama.cpp's files: one of them as a `GPT` and its tokenizer, and a `GPT` as one of them.

Reading maps the file into memory and takes one tensor after another; writing holds one at a time.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, LlamaFileType
from torch import Tensor

from groundup.errors import CorruptFileError, GroundupError, InputError, unknown
from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.tokenizer.gguf import (
    add_gguf_fields,
    add_gguf_tokenizer,
    read_gguf_tokenizer,
)
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.architectures import ROWS, architecture_of
from groundup.weights.assembly import Slot, Source, blank, fill, slots
from groundup.weights.families import Family, not_covered
from groundup.weights.gguf_head import Head, read_head, readable_types, row_of_blocks
from groundup.weights.gguf_parts import TABLES

# What the library can write; it reads more (the K-quants), which only llama.cpp's own quantizer writes.
QUANTIZATIONS = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
TYPES = {name: GGMLQuantizationType[name.upper()] for name in QUANTIZATIONS}
# Matrices that llama.cpp computes with in single precision.
PRECISE = (".ffn_gate_inp.weight", "position_embd.weight")
# No model has sizes above these.
MOST = {"expert_count": 1 << 14, "context_length": 1 << 40}
MOST_OF_ALL = 1 << 24
EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"


# Reading


def read_gguf_config(path: Path) -> ModelConfig:
    """The configuration of a GGUF file, from its head."""
    return _described(read_head(path), path)[0]


def read_gguf_tokenizer_of(path: Path) -> Tokenizer:
    """The tokenizer of a GGUF file."""
    return read_gguf_tokenizer(read_head(path).fields, str(path))


def read_gguf_model(path: Path, dtype: torch.dtype = torch.float32) -> GPT:
    """The model of a GGUF file, ready for use; quantised numbers become floats.

    Raises `InputError` for an architecture or type that is not supported and `CorruptFileError` where
    tensors are cut, missing, too many or of a wrong shape."""
    head = read_head(path)
    config, family = _described(head, path)
    model, plan = blank(GPT, config, family)
    known = readable_types()

    def ignored(name: str) -> bool:
        return name.endswith(family.ignored)

    source = Source(head.tensors, path, known, ", ".join(known), ignored=ignored)
    return fill(model, plan, source, dtype)


def _described(head: Head, path: Path) -> tuple[ModelConfig, Family]:
    family = architecture_of(str(head.fields.get("general.architecture")), str(path))
    given = _given(head)
    _check_sizes(given, {"block_count": len(head.tensors)} | MOST, path)
    try:
        return family.read(given, str(path)), family
    except (TypeError, ZeroDivisionError) as error:  # a text for a number, no heads
        raise CorruptFileError(
            f"the fields of the file do not fit together ({error})", str(path),
            "copy or convert the file again",
        ) from error  # fmt: skip


def _check_sizes(given: Mapping[str, Any], most: Mapping[str, int], path: Path) -> None:
    """Refuses a model that would take all memory only to be described."""
    for name, value in given.items():
        if isinstance(value, int) and value > most.get(name, MOST_OF_ALL):
            raise CorruptFileError(
                f"{name} is {value:,}, but can be no more than {most.get(name, MOST_OF_ALL):,}",
                str(path), "copy or convert the file again",
            )  # fmt: skip


def _given(head: Head) -> dict[str, Any]:
    """The fields of the architecture, without its name before them, and what tensors say."""
    prefix = f"{head.fields['general.architecture']}."
    fields = {n.removeprefix(prefix): v for n, v in head.fields.items() if n.startswith(prefix)}
    for name in TABLES:
        if name in head.tensors:
            fields[name] = head.tensors[name].read().float().tolist()
    if EMBEDDING in head.tensors:
        fields["vocab_size"] = head.tensors[EMBEDDING].shape[0]
    return fields | {"tie_embeddings": OUTPUT not in head.tensors}


# Writing


def architecture_for(config: ModelConfig) -> Family:
    """The first of llama.cpp's architectures that runs `config` as we do.

    Raises `InputError` with the fields that none has."""
    family = next((row for row in ROWS if row.covers(config)), None)
    if family is None:
        raise not_covered(config, ROWS, N_("no architecture of llama.cpp's has"))
    return family


def check_quantization(name: str) -> None:
    """Raises `InputError` for a type that the library cannot write."""
    if "_k" in name or name.startswith("iq"):
        raise InputError(
            f"the gguf library reads {name}, but cannot write it", "--quantize",
            "write f16 and run llama.cpp's llama-quantize on it, or choose one of "
            + ", ".join(QUANTIZATIONS),
        )  # fmt: skip
    if name not in QUANTIZATIONS:
        raise unknown("quantisation", name, QUANTIZATIONS, "--quantize")


@dataclass(frozen=True)
class Planned:
    """A tensor to write."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    make: Callable[[], Tensor]

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape of its bytes."""
        return gguf.quant_shape_to_byte_shape(self.shape, self.type)


def write_gguf(
    model: GPT, tokenizer: Tokenizer, path: Path, quantization: str = "f16", name: str = "model"
) -> None:
    """Write a file that llama.cpp runs, its matrices in the type `quantization`, norms and other
    vectors in single precision, one tensor after another.

    Raises `InputError` where llama.cpp has no such architecture, no way to cut text as the tokenizer
    does, or the library cannot write the type."""
    check_quantization(quantization)
    family = architecture_for(model.config)
    described = {n: v for n, v in family.write(model.config).items() if v is not None}
    tables = {n: torch.tensor(described.pop(n)) for n in TABLES if n in described}
    del described["tie_embeddings"]  # an output matrix of its own says it
    plan = [
        Planned(n, tuple(t.shape), TYPES["f32"], partial(lambda t: t, t)) for n, t in tables.items()
    ]
    plan += planned(model, family, quantization)
    writer = GGUFWriter(None, family.model_type)
    add_gguf_fields(writer, _general(model, quantization, name))
    add_gguf_fields(writer, {f"{family.model_type}.{n}": v for n, v in described.items()})
    add_gguf_tokenizer(writer, tokenizer, model.config.vocab_size)
    for tensor in plan:
        shape = tensor.stored_shape
        size = math.prod(shape)
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), size, tensor.type)
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in plan:
        writer.write_tensor_data(stored(tensor.make(), tensor.type))
    writer.close()


def planned(model: GPT, family: Family, quantization: str) -> list[Planned]:
    """The tensors of `model` in a file, in the order of the model."""
    # A tied output matrix is the embedding, so named_parameters has it once.
    ours = {name: p.detach() for name, p in model.named_parameters()}

    def make(slot: Slot) -> Tensor:
        parts = [ours[part].cpu().float() for part in slot.ours]
        return slot.layout.to_theirs(parts, model.config)

    plan = []
    for slot in slots(ours, family):
        parts = [ours[part].to("meta") for part in slot.ours]
        shape = tuple(slot.layout.to_theirs(parts, model.config).shape)
        kind = stored_type(slot.theirs, shape, quantization)
        plan.append(Planned(slot.theirs, shape, kind, partial(make, slot)))
    return plan


def round_as_stored(model: GPT, quantization: str) -> None:
    """Give a model the numbers that a file of this quantisation has for its own.

    Raises `GroundupError` where a tensor, not rounded, would not come back from a file as it is."""
    family, config = architecture_for(model.config), model.config
    ours = dict(model.named_parameters())
    for slot in slots(ours, family):
        parts = [ours[name].detach().float() for name in slot.ours]
        shapes = [part.shape for part in parts]
        theirs = slot.layout.to_theirs(parts, config)
        straight = slot.layout.to_ours(theirs, shapes, config)
        close = partial(torch.allclose, rtol=0.0, atol=1e-6 if slot.layout.shift else 0.0)
        if not all(map(close, straight, parts)):
            raise GroundupError(f"tensor {slot.theirs!r} does not come back as it was written")
        kind = stored_type(slot.theirs, tuple(theirs.shape), quantization)
        back = slot.layout.to_ours(rounded(theirs, kind), shapes, config)
        for name, numbers in zip(slot.ours, back, strict=True):
            ours[name].data = numbers.contiguous()


def stored_type(name: str, shape: tuple[int, ...], quantization: str) -> GGMLQuantizationType:
    """The type of a tensor in a file of this quantisation, as llama.cpp's converter chooses it: single
    precision for vectors, half where a row is no whole number of blocks."""
    if len(shape) == 1 or not name.endswith(".weight") or name.endswith(PRECISE):
        return TYPES["f32"]
    values, _ = GGML_QUANT_SIZES[TYPES[quantization]]
    return TYPES[quantization] if shape[-1] % values == 0 else TYPES["f16"]


def stored(tensor: Tensor, kind: GGMLQuantizationType) -> np.ndarray:
    """The bytes of a float32 tensor in a type."""
    numbers = tensor.contiguous().numpy()
    if kind in (TYPES["f32"], TYPES["f16"]):
        return gguf.quantize(numbers, kind)
    shape = gguf.quant_shape_to_byte_shape(numbers.shape, kind)
    values, _ = GGML_QUANT_SIZES[kind]
    rows = numbers.reshape(-1, values * row_of_blocks(numbers.shape, values))
    return gguf.quantize(rows, kind).reshape(shape)


def rounded(tensor: Tensor, kind: GGMLQuantizationType) -> Tensor:
    """What a tensor is after it was stored in a type."""
    return torch.from_numpy(gguf.dequantize(stored(tensor, kind), kind)).view(tensor.shape)


def _general(model: GPT, quantization: str, name: str) -> dict[str, Any]:
    experts = sum(p.numel() for n, p in model.named_parameters() if ".experts." in n)
    total = sum(p.numel() for p in model.parameters())
    count = model.config.experts.count
    label = gguf.size_label(total, total - experts, experts // max(count, 1), count)
    kind = "ALL_F32" if quantization == "f32" else f"MOSTLY_{quantization.upper()}"
    return {
        "general.type": "model", "general.name": name, "general.size_label": label,
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
        "general.file_type": int(LlamaFileType[kind]),
    }  # fmt: skip
