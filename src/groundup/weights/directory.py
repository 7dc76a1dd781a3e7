"""Saving and loading model directories: ours and those of every family in `families.py`."""

import hashlib
import re
from pathlib import Path

import torch
from huggingface_hub import snapshot_download

from groundup.errors import InputError, no_such
from groundup.files import atomic_directory, write_json
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights import huggingface
from groundup.weights.families import Family


def save(model: GPT, tokenizer: Tokenizer, directory: str | Path) -> str:
    """Write `model` and its `tokenizer` as a model directory, replacing one that stood there.

    Where a family of Hugging Face's covers the configuration, in that family's layout, so that
    `transformers`, vLLM and llama.cpp load it; else as `model_type: groundup`. Returns the
    `model_type`."""
    with atomic_directory(directory) as folder:
        ends = {"eos_token_id": sorted(tokenizer.end_ids)}
        write_json(folder / "generation_config.json", ends)
        tokenizer.save(folder)
        return huggingface.write_model(model, folder, {"eos_token_id": tokenizer.end_of_text_id})


def load(source: str | Path, dtype: torch.dtype = torch.float32) -> tuple[GPT, Tokenizer]:
    """The model and tokenizer of a model directory, or of a Hugging Face hub id.

    Raises `InputError` where `source` is no model directory or of an unsupported kind, and
    `CorruptFileError` where its weights are cut or do not fit its config.
    """
    directory = find(source)
    tokenizer = Tokenizer.load(directory)
    config = read_config(directory)
    if tokenizer.vocab_size > config.vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} ids, but the model's embedding only "
            f"{config.vocab_size}",
            str(directory), "use the tokenizer that the model was trained with",
        )  # fmt: skip
    return load_model(directory, dtype), tokenizer


def find(source: str | Path) -> Path:
    """The local directory of `source`; a hub id ("owner/name") is downloaded, as the user asked."""
    directory = Path(source)
    if (directory / "config.json").is_file():
        return directory
    if directory.is_dir():
        raise _no_config(directory)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) and not directory.parent.is_dir():
        return _download(str(source))
    if directory.is_file():
        raise InputError("this is a file, not a model directory", str(source), "name its folder")
    siblings = (path for path in directory.parent.glob("*") if path.is_dir())
    raise no_such("model directory", directory, siblings)


def _no_config(directory: Path) -> InputError:
    if (directory / "hparams.json").is_file() or any(directory.glob("*.ckpt.index")):
        return InputError(
            "this is GPT-2's original TensorFlow checkpoint", str(directory),
            "use the same weights as safetensors: openai-community/gpt2 on the Hugging Face hub",
        )  # fmt: skip
    inside = sorted(path.parent for path in directory.glob("**/config.json"))
    hint = f"did you mean {inside[0]}?" if inside else "train or convert one first"
    return InputError("this folder is not a model directory: no config.json", str(directory), hint)


def _download(hub_id: str) -> Path:
    try:
        patterns = ["*.json", "*.safetensors", "*.model", "*.tiktoken", "*.jinja"]
        return Path(snapshot_download(hub_id, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises many kinds, and none is our bug
        reason = str(error).splitlines()[0]
        raise InputError(
            f"cannot get this model from the Hugging Face hub: {reason}",
            hub_id,
            "check the name and the network, or give the path of a model directory",
        ) from error


def read_config(directory: Path) -> ModelConfig:
    """The `ModelConfig` of a model directory."""
    return huggingface.read_config(directory / "config.json")[0]


def find_family(directory: Path) -> Family | None:
    """The family that a model directory is of; None for groundup's own kind."""
    return huggingface.read_config(directory / "config.json")[1]


def load_model(directory: Path, dtype: torch.dtype = torch.float32) -> GPT:
    """The model of a model directory, ready for use (dropout off)."""
    return huggingface.read_model(directory, dtype)


def weights_checksum(directory: Path) -> str:
    """A hash of the weights of a model directory: the same for the same bits, and for no others."""
    checksum = hashlib.blake2b(digest_size=16)
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            checksum.update(hashlib.file_digest(file, "blake2b").digest())
    return checksum.hexdigest()
