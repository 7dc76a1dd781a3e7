"""Saving model directories, and loading models: directories, ours and those of every family in
`families.py`, and files of other programs."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from groundup.errors import InputError, no_such
from groundup.files import atomic_directory, write_json
from groundup.language import N_
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.presets import PRESETS
from groundup.tokenizer.files import NAMES
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights import gguf, huggingface, llama2c, quantized
from groundup.weights.adapters import load_adapter
from groundup.weights.families import Family, family_for
from groundup.weights.gguf_head import is_gguf
from groundup.weights.peft_config import CONFIG, read_peft_config


def save(model: GPT, tokenizer: Tokenizer, directory: str | Path) -> str:
    """Write `model` and its `tokenizer` as a model directory, replacing one that stood there.

    Where a family of Hugging Face's covers the configuration, in that family's layout, so that
    `transformers`, vLLM and llama.cpp load it; else as `model_type: groundup`. An adapter at work is
    merged into what is written. A model that is wholly in few bits stays so (`weights/quantized.py`).
    Returns the `model_type`."""
    with atomic_directory(directory) as folder:
        return write(model, tokenizer, folder)


# What a model directory of ours consists of.
OURS = (*NAMES, "config.json", "model*.safetensors", "model.safetensors.index.json")


def check_place(source: str | Path, out: str | Path) -> None:
    """Raises `InputError` if a model directory at `out` would replace anything but another model: other
    files, or the model that it is made from."""
    folder = Path(out)
    if Path(source).resolve().is_relative_to(folder.resolve()):
        raise InputError("the output would replace its source", str(out), "choose another --out")
    if folder.is_file():
        raise InputError("a file stands here", str(out), "choose another --out")
    names = [path.name for path in folder.glob("*")]
    foreign = [name for name in names if not any(fnmatch(name, ours) for ours in OURS)]
    if foreign:
        raise InputError(
            f"this folder holds other files ({foreign[0]})", str(out), "choose another --out"
        )


def write(model: GPT, tokenizer: Tokenizer, folder: Path) -> str:
    """`save` into a folder that is there, file by file."""
    begin = {"bos_token_id": tokenizer.begin_ids[0]} if tokenizer.begin_ids else {}
    ends = {"eos_token_id": sorted(tokenizer.end_ids)}
    write_json(folder / "generation_config.json", begin | ends)
    tokenizer.save(folder)
    one_end = {"eos_token_id": tokenizer.end_of_text_id}
    writer = quantized.write_quantized if quantized.is_whole(model) else huggingface.write_model
    return writer(model, folder, begin | one_end)


@dataclass(frozen=True)
class Kind:
    """A kind of model that can be loaded."""

    is_one: Callable[[Path], bool]
    read_config: Callable[[Path], ModelConfig]
    read_tokenizer: Callable[[Path], Tokenizer]
    read_model: Callable[[Path, torch.dtype], GPT]


KINDS = (
    Kind(
        lambda path: (path / "config.json").is_file(),
        lambda path: huggingface.read_config(path / "config.json")[0],
        Tokenizer.load,
        lambda path, dtype: read_directory(path, dtype),
    ),
    Kind(
        lambda path: path.is_file() and (path.suffix == ".gguf" or is_gguf(path)),
        gguf.read_gguf_config,
        gguf.read_gguf_tokenizer_of,
        gguf.read_gguf_model,
    ),
    Kind(
        lambda path: is_adapter(path),
        lambda path: read_config(base_of(path)),
        lambda path: read_tokenizer_with(path),
        lambda path, dtype: read_adapted_model(path, dtype),
    ),
    Kind(
        lambda path: path.suffix == ".bin" and path.is_file(),
        llama2c.read_llama2c_config,
        llama2c.read_llama2c_tokenizer_of,
        llama2c.read_llama2c_model,
    ),
)


HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load(source: str | Path, dtype: torch.dtype = torch.float32) -> tuple[GPT, Tokenizer]:
    """The model and tokenizer of a model directory, of a Hugging Face hub id, or of a file: GGUF
    (llama.cpp) or llama2.c's .bin. Of the directory of an adapter: its base, with the adapter on it.

    Raises `InputError` where `source` is no model or of an unsupported kind, and `CorruptFileError`
    where its weights are cut or do not fit its config.
    """
    path = find(source)
    tokenizer, model = load_tokenizer(path), load_model(path, dtype)
    check_vocabulary(tokenizer, model, path)
    return model, tokenizer


def check_vocabulary(tokenizer: Tokenizer, model: GPT, path: Path) -> None:
    """Raises `InputError` where a tokenizer has ids that its model does not know."""
    if tokenizer.vocab_size > model.config.vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} ids, but the model's embedding only "
            f"{model.config.vocab_size}",
            str(path), "use the tokenizer that the model was trained with",
        )  # fmt: skip


def find(source: str | Path) -> Path:
    """The local path of `source`; a run stands for the model that it made last, and a hub id
    ("owner/name") is downloaded, as the user asked."""
    path = Path(source)
    if _kind(path):
        return path
    if path.is_dir():
        made = newest_model(path)
        if made is None:
            raise _no_config(path)
        return made
    if HUB_ID.fullmatch(str(source)) and not path.parent.is_dir():
        return _download(str(source))
    if path.is_file():
        raise InputError(
            "this is a file, not a model directory", str(source),
            "name its folder, a .gguf file, or a .bin of llama2.c",
        )  # fmt: skip
    if str(source) in PRESETS:
        raise InputError(
            "a preset has no weights", str(source), "train it first: groundup pretrain --preset …"
        )
    siblings = (other for other in path.parent.glob("*") if other.is_dir() or _kind(other))
    raise no_such("model", path, siblings)


def newest_model(run: Path) -> Path | None:
    """The model that a run has finished last; None where it has none yet, or is no run."""
    made = (run / stage / "model" for stage in ("finetune", "pretrain"))
    return next((path for path in made if _kind(path)), None)


# Adapters: what their files do not have is their base's.


def is_adapter(path: Path) -> bool:
    """Whether a path is the directory of an adapter, and of no whole model."""
    return (path / CONFIG).is_file() and not (path / "config.json").is_file()


def base_of(path: Path) -> Path:
    """The model that an adapter was trained on. Nothing is downloaded for it."""
    name, where = read_peft_config(path).base_model_name_or_path, path / CONFIG
    base = _local(name or "")
    if base is None or is_adapter(base):
        what = N_("is an adapter itself" if base else "is not here")
        raise InputError(
            f"the adapter's base {name!r} {what}" if name else "the adapter names no base",
            str(where),
            "get it (hf download, for a hub id), or write where it is under base_model_name_or_path",
        )  # fmt: skip
    return base


def _local(name: str) -> Path | None:
    """The place of a model that is here: a path, or a hub id that was downloaded before."""
    if name and _kind(Path(name)):
        return Path(name)
    if not HUB_ID.fullmatch(name):
        return None
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def read_tokenizer_with(path: Path) -> Tokenizer:
    """The tokenizer beside an adapter, or that of its base."""
    has_one = any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model"))
    return Tokenizer.load(path) if has_one else load_tokenizer(base_of(path))


def read_adapted_model(path: Path, dtype: torch.dtype) -> GPT:
    """The base of an adapter, with the adapter on it and at work."""
    model = load_model(base_of(path), dtype)
    load_adapter(model, path)
    return model


def _kind(path: Path) -> Kind | None:
    return next((kind for kind in KINDS if kind.is_one(path)), None)


def _no_config(directory: Path) -> InputError:
    if (directory / "hparams.json").is_file() or any(directory.glob("*.ckpt.index")):
        return InputError(
            "this is GPT-2's original TensorFlow checkpoint", str(directory),
            "use the same weights as safetensors: openai-community/gpt2 on the Hugging Face hub",
        )  # fmt: skip
    inside = sorted(path.parent for path in directory.glob("**/config.json"))
    inside += sorted(directory.glob("*.gguf"))
    hint = N_(f"did you mean {inside[0]}?" if inside else "train or convert one first")
    return InputError("this folder is not a model directory: no config.json", str(directory), hint)


def _download(hub_id: str) -> Path:
    try:
        patterns = ["*.json", "*.safetensors", "*.model", "*.tiktoken", "*.jinja", "merges.txt"]
        return Path(snapshot_download(hub_id, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises many kinds, and none is our bug
        reason = str(error).splitlines()[0]
        raise InputError(
            f"cannot get this model from the Hugging Face hub: {reason}",
            hub_id,
            "check the name and the network, or give the path of a model directory",
        ) from error


def read_config(path: Path) -> ModelConfig:
    """The `ModelConfig` of a model; reads no weights."""
    return _kind_of(path).read_config(path)


def find_family(path: Path) -> Family | None:
    """The family of Hugging Face's that a model is of, or would be written as; None for groundup's own
    kind."""
    if is_adapter(path):
        return find_family(base_of(path))
    if path.is_dir():
        return huggingface.read_config(path / "config.json")[1]
    return family_for(read_config(path))


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer of a model, or of a directory with nothing else."""
    return _kind_of(Path(path)).read_tokenizer(Path(path))


def load_model(path: Path, dtype: torch.dtype = torch.float32) -> GPT:
    """The model itself, ready for use (dropout off)."""
    return _kind_of(path).read_model(path, dtype)


def _kind_of(path: Path) -> Kind:
    """The kind of a path that `find` gave, or of a directory that we wrote."""
    return _kind(path) or KINDS[0]


def read_directory(path: Path, dtype: torch.dtype) -> GPT:
    """The model of a model directory, in few bits or not."""
    if quantized.is_quantized_directory(path):
        return quantized.read_quantized(path, dtype)
    return huggingface.read_model(path, dtype)


def weights_checksum(path: Path) -> str:
    """A hash of the weights of a model: the same for the same bits, and for no others."""
    checksum = hashlib.blake2b(digest_size=16)
    if is_adapter(path):
        checksum.update(weights_checksum(base_of(path)).encode())
    for file in [path] if path.is_file() else sorted(path.glob("*.safetensors")):
        with file.open("rb") as content:
            checksum.update(hashlib.file_digest(content, "blake2b").digest())
    return checksum.hexdigest()
