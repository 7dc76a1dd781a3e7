"""Models in few bits, as `groundup compress quantize` makes them, to and from model directories.

The config.json is that of the model's kind, and says in addition

    "quantization_config": {"quant_method": "groundup", "bits": 4, "group_size": 64, "table_bits": 8}

`bits` are those of the linear layers of the blocks, `group_size` of whose numbers share a scale (null: a
row), `table_bits` those of embedding and head. The safetensors have our own names for the tensors: for a
matrix in 8 bits `….codes` (int8) and `….scales` (float32, one a row), for one in 4 bits `….codes` (uint8,
two codes a byte), `….scales` (bfloat16) and `….zeros` (uint8, two a byte); everything else is float32.
`groundup.model.quantized` says what they stand for. Only groundup reads them: `groundup convert` writes
such a model for other programs, decoded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from groundup.errors import CorruptFileError, InputError
from groundup.files import write_json
from groundup.model.gpt import GPT
from groundup.model.lora import adapted_layers
from groundup.model.quantized import (
    GROUPS,
    TABLE_BITS,
    QuantizedEmbedding,
    QuantizedLinear,
    linear_layers_of_blocks,
    put_modules,
    tie_tables,
)
from groundup.tokenizer.files import read_json
from groundup.weights.assembly import Source, check, match, slots
from groundup.weights.families import family_for
from groundup.weights.huggingface import NO_TOKENS, describe, read_config, stored_tensors

KEY, METHOD = "quantization_config", "groundup"
TYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.int8: "I8", torch.uint8: "U8"}


def is_quantized_directory(directory: Path) -> bool:
    """Whether a model directory says that `write_quantized` made it."""
    settings = read_json(directory / "config.json").get(KEY)
    return isinstance(settings, dict) and settings.get("quant_method") == METHOD


def is_whole(model: GPT) -> bool:
    """Whether everything of a model that can be in few bits is, and no adapter stands beside it: so that
    `write_quantized` writes all of it."""
    packed = isinstance(model.embedding, QuantizedEmbedding) and not linear_layers_of_blocks(model)
    return packed and not adapted_layers(model)


def write_quantized(model: GPT, directory: Path, token_ids: Mapping[str, Any]) -> str:
    """Write config.json and the safetensors of a model in few bits; returns the `model_type` written."""
    config = describe(model.config, family_for(model.config))
    bits = next(p.bits for p in model.blocks.modules() if isinstance(p, QuantizedLinear))
    told = config | NO_TOKENS | dict(token_ids) | {KEY: settings_for(bits)}
    write_json(directory / "config.json", told)
    written = {name: tensor.cpu().contiguous() for name, tensor in tensors_of(model).items()}
    save_file(written, directory / "model.safetensors", metadata={"format": "pt"})
    return config["model_type"]


def settings_for(bits: int) -> dict[str, Any]:
    """What config.json says of a model in so many bits."""
    return {
        "quant_method": METHOD, "bits": bits, "group_size": GROUPS[bits], "table_bits": TABLE_BITS,
    }  # fmt: skip


def tensors_of(model: GPT) -> dict[str, Tensor]:
    """What is stored of a model in few bits: a tied head is the embedding, so it is there once."""
    tied = ("head.codes", "head.scales") if model.head_is_embedding else ()
    return {name: t.detach() for name, t in model.state_dict().items() if name not in tied}


def read_quantized(directory: Path, dtype: torch.dtype = torch.float32) -> GPT:
    """The model of such a directory, ready for use (dropout off); what is not in few bits as `dtype`.

    Raises `CorruptFileError` where tensors are cut, missing, too many, or of another shape or type than
    the config says, and `InputError` for settings that this version does not know."""
    place = directory / "config.json"
    config, _ = read_config(place)
    bits = known_bits(read_json(place)[KEY], place)
    with torch.device("meta"):
        model = GPT(config)
    put_modules(model, bits)
    wanted = tensors_of(model)
    source = Source(stored_tensors(directory), directory, TYPES.values(), ", ".join(TYPES.values()))
    plan = slots(wanted, None)
    found = match(plan, source)
    for name, tensor in wanted.items():
        check(found[name], tuple(tensor.shape), source)
        if found[name].dtype != TYPES[tensor.dtype]:
            raise CorruptFileError(
                f"tensor {name!r} is stored as {found[name].dtype}, but the config asks for "
                f"{TYPES[tensor.dtype]}",
                str(found[name].file), "use the config that was saved with these weights",
            )  # fmt: skip
    tensors = {name: _as(dtype, stored.read()) for name, stored in found.items()}
    model.load_state_dict(tensors, strict=False, assign=True)
    tie_tables(model)
    return model.eval()


def _as(dtype: torch.dtype, tensor: Tensor) -> Tensor:
    """What is multiplied with activations is of their type; scales in bfloat16 belong to codes."""
    return tensor.to(dtype) if tensor.dtype == torch.float32 else tensor


def known_bits(settings: Mapping[str, Any], where: Path) -> int:
    """The bits that a config names. Raises `InputError` for settings that are not known here."""
    bits = settings.get("bits")
    if not isinstance(bits, int) or bits not in GROUPS or settings != settings_for(bits):
        raise InputError(
            f"this kind of quantisation is not known: {dict(settings)}", str(where),
            "quantise the model again with this version of groundup",
        )  # fmt: skip
    return bits
