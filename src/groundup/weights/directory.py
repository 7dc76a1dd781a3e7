"""Saving and loading model directories."""

import hashlib
import json
import re
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from groundup.errors import CorruptFileError, InputError, nearest, no_such, unknown
from groundup.files import atomic_directory
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.tokenizer.files import read_json
from groundup.tokenizer.tokenizer import Tokenizer

MODEL_TYPE = "groundup"


def save(model: GPT, tokenizer: Tokenizer, directory: str | Path) -> None:
    """Write `model` and its `tokenizer` as a model directory, replacing one that stood there."""
    with atomic_directory(directory) as folder:
        described = {"model_type": MODEL_TYPE, "architectures": ["GPT"], "dtype": "float32"}
        _write_json(folder / "config.json", described | model.config.model_dump())
        ends = {"eos_token_id": sorted(tokenizer.end_ids)}
        _write_json(folder / "generation_config.json", ends)
        tokenizer.save(folder)
        # A tied output matrix is the embedding, so named_parameters has it once.
        weights = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def load(source: str | Path) -> tuple[GPT, Tokenizer]:
    """The model and tokenizer of a model directory, or of a Hugging Face hub id.

    Raises `InputError` where `source` is no model directory or of an unsupported kind, and
    `CorruptFileError` where its weights are cut or do not fit its config.
    """
    directory = find(source)
    return load_model(directory), Tokenizer.load(directory)


def find(source: str | Path) -> Path:
    """The local directory of `source`; a hub id ("owner/name") is downloaded, as the user asked."""
    directory = Path(source)
    if (directory / "config.json").is_file():
        return directory
    if directory.is_dir():
        inside = sorted(path.parent for path in directory.glob("**/config.json"))
        hint = f"did you mean {inside[0]}?" if inside else "train or convert one first"
        raise InputError("this folder is not a model directory: no config.json", str(source), hint)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) and not directory.parent.is_dir():
        return _download(str(source))
    if directory.is_file():
        raise InputError("this is a file, not a model directory", str(source), "name its folder")
    siblings = (path for path in directory.parent.glob("*") if path.is_dir())
    raise no_such("model directory", directory, siblings)


def _download(hub_id: str) -> Path:
    try:
        return Path(snapshot_download(hub_id, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # the hub's client raises many kinds, and none is our bug
        reason = str(error).splitlines()[0]
        raise InputError(
            f"cannot get this model from the Hugging Face hub: {reason}",
            hub_id,
            "check the name and the network, or give the path of a model directory",
        ) from error


def read_config(directory: Path) -> ModelConfig:
    """The `ModelConfig` of a model directory."""
    path = directory / "config.json"
    fields = read_json(path)
    kind = fields.pop("model_type", None)
    if kind != MODEL_TYPE:
        raise unknown("model_type", str(kind), [MODEL_TYPE], str(path))
    known = {name: value for name, value in fields.items() if name in ModelConfig.model_fields}
    return ModelConfig.parse(known, str(path))


def load_model(directory: Path) -> GPT:
    """The model of a model directory, ready for use (dropout off)."""
    config = read_config(directory)
    path = directory / "model.safetensors"
    try:
        weights = load_file(path)
    except FileNotFoundError:
        raise InputError("the weights are missing", str(path), "copy the folder again") from None
    except SafetensorError as error:
        raise CorruptFileError(
            f"the weights are cut or changed ({error})", str(path), "copy or save the model again"
        ) from None
    with torch.device("meta"):  # no memory, no initialisation: the weights are put in whole
        model = GPT(config)
    _check_fit(model, weights, path)
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    return model.eval()


def weights_checksum(directory: Path) -> str:
    """A hash of the weights of a model directory: the same for the same bits, and for no others."""
    checksum = hashlib.blake2b(digest_size=16)
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            checksum.update(hashlib.file_digest(file, "blake2b").digest())
    return checksum.hexdigest()


def _check_fit(model: GPT, weights: dict[str, torch.Tensor], path: Path) -> None:
    wanted = {name: tuple(p.shape) for name, p in model.named_parameters()}
    for name, shape in wanted.items():
        if name not in weights:
            close = nearest(name, set(weights) - set(wanted))
            hint = f"the nearest name there is {close!r}" if close else None
            raise CorruptFileError(f"tensor {name!r} is missing", str(path), hint)
        if tuple(weights[name].shape) != shape:
            raise CorruptFileError(
                f"tensor {name!r} has shape {tuple(weights[name].shape)}, "
                f"but the config asks for {shape}",
                str(path),
                "use the config.json that was saved with these weights",
            )
    extra = sorted(set(weights) - set(wanted))
    if extra:
        raise CorruptFileError(f"tensors that the config does not know: {', '.join(extra[:5])}",
                               str(path), "use the config.json saved with these weights")  # fmt: skip


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
