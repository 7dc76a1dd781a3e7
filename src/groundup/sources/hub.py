"""Datasets of the Hugging Face hub by name: `hf:owner/name[/config][:split]`, streamed.

A dataset is a repository of data files. Which of them make a split is written in the head of its
README, or told by their names; both by the rules of
https://huggingface.co/docs/hub/datasets-data-files-configuration. HF_ENDPOINT (a mirror) and
HF_TOKEN are honoured, whenever they are set.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from groundup.errors import GroundupError, InputError, nearest, unknown
from groundup.sources.remote import open_remote
from groundup.sources.source import Source

_COMPRESSED = (".gz", ".zst")
_KINDS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")
_KEYWORDS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
_SHARD = re.compile(r"([\w.]+?)-\d{5}-of-\d{5}\b")
_NOT_DATA = {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json",
             "config.json", "requirements.txt"}  # fmt: skip


@dataclass(frozen=True)
class _Name:
    """The parts of `hf:owner/name[/config][:split]`."""

    given: str
    repository: str
    config: str | None
    split: str | None


def hub_sources(given: str) -> list[Source]:
    """The data files of a dataset's split, by default "train" or the only one there is.

    Raises `InputError` for a dataset, configuration or split that does not exist or may not be
    read (those that exist are listed), and `GroundupError` if the hub cannot be reached.
    """
    name = _parse(given)
    info = _describe(name)
    digests = {s.rfilename: s.blob_id for s in info.siblings or [] if _kind(s.rfilename)}
    splits = _splits(list(digests), _configs(info), name)
    files = _one_kind(splits[_choose(name, splits)])
    return [_source(name, info.sha, file, digests[file]) for file in sorted(files)]


def _parse(given: str) -> _Name:
    found = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)(?:/([\w.-]+))?(?::([\w.-]+))?", given)
    if found is None:
        raise InputError("not the name of a dataset", given, "write hf:owner/name[/config][:split]")
    return _Name(given, *found.groups())


def _describe(name: _Name) -> Any:
    """What the hub tells about the repository: its commit, its files, the head of its README."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        return HfApi(endpoint=_endpoint()).dataset_info(name.repository, files_metadata=True)
    except GatedRepoError as error:
        fix = "ask for access on its page on the hub, then set HF_TOKEN"
        raise InputError("this dataset is not open to everybody", name.given, fix) from error
    except RepositoryNotFoundError as error:
        fix = "check the name; if it is private, set HF_TOKEN"
        raise InputError("there is no such dataset on the hub", name.given, fix) from error
    except HfHubHTTPError as error:
        what = f"the hub answers: {_first_line(error)}"
        raise GroundupError(what, name.given, "try again later") from error
    except Exception as error:  # what the client raises without network differs by its version
        what = f"the hub cannot be reached: {_first_line(error)}"
        fix = "check the network, or set HF_ENDPOINT to a mirror"
        raise GroundupError(what, name.given, fix) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _endpoint() -> str | None:
    """The hub's address. The client looks at the variable only once, when it is imported."""
    return os.environ.get("HF_ENDPOINT")


def _source(name: _Name, commit: str, file: str, digest: str | None) -> Source:
    from huggingface_hub import get_token, hf_hub_url

    url = hf_hub_url(
        name.repository, file, repo_type="dataset", revision=commit, endpoint=_endpoint()
    )
    where = f"hf:{name.repository}/{file}"
    identity = digest or f"{commit}/{file}"
    return Source(where, file, lambda: open_remote(url, where, get_token()), identity)


def _kind(file: str) -> str | None:
    """The suffix of a data file, its compression left aside; None for any other file."""
    path = PurePosixPath(file)
    if path.name in _NOT_DATA or any(part.startswith(".") for part in path.parts):
        return None
    suffix = (path.with_suffix("") if path.suffix in _COMPRESSED else path).suffix.lower()
    return suffix if suffix in _KINDS else None


def _configs(info: Any) -> list[dict]:
    """The configurations in the head of the README, those that name files."""
    card = info.card_data.to_dict() if info.card_data else {}
    return [c for c in card.get("configs") or [] if "data_files" in c or "data_dir" in c]


def _splits(files: list[str], configs: list[dict], name: _Name) -> dict[str, list[str]]:
    """Split → files, of the chosen configuration."""
    if configs:
        splits = _declared_splits(files, _choose_config(configs, name))
    elif name.config is not None:
        inside = [file for file in files if name.config in PurePosixPath(file).parts[:-1]]
        if not inside:
            folders = {part for file in files for part in PurePosixPath(file).parts[:-1]}
            raise unknown("configuration", name.config, folders, name.given)
        splits = splits_by_name(inside)
    else:
        splits = splits_by_name(files)
    splits = {split: of_split for split, of_split in splits.items() if of_split}
    if not splits:
        fix = f"groundup reads {', '.join(_KINDS)}; choose another dataset or convert it"
        raise InputError("this dataset has no data files that can be read", name.given, fix)
    return splits


def _choose_config(configs: list[dict], name: _Name) -> dict:
    by_name = {str(config.get("config_name", "default")): config for config in configs}
    if name.config is not None:
        if name.config not in by_name:
            raise unknown("configuration", name.config, by_name, name.given)
        return by_name[name.config]
    chosen = [c for n, c in by_name.items() if c.get("default") or n == "default"]
    if chosen or len(by_name) == 1:
        return (chosen or configs)[0]
    raise InputError(
        "this dataset has several configurations", name.given,
        f"choose one, as in hf:{name.repository}/{next(iter(by_name))}: {', '.join(by_name)}",
    )  # fmt: skip


def _declared_splits(files: list[str], config: dict) -> dict[str, list[str]]:
    """The files that a configuration names: a pattern, several, or patterns for each split."""
    folder = str(config.get("data_dir", "")).strip("/")
    inside = [file for file in files if not folder or file.startswith(f"{folder}/")]
    data_files = config.get("data_files")
    if data_files is None:
        return splits_by_name(inside)
    splits: dict[str, list[str]] = {}
    for entry in data_files if isinstance(data_files, list) else [data_files]:
        of_split = entry if isinstance(entry, dict) else {"split": "train", "path": entry}
        paths = of_split["path"]
        for pattern in paths if isinstance(paths, list) else [paths]:
            matching = _matching(inside, f"{folder}/{pattern}" if folder else pattern)
            splits.setdefault(str(of_split["split"]), []).extend(matching)
    return splits


def _matching(files: Iterable[str], pattern: str) -> list[str]:
    from fsspec.utils import glob_translate

    regex = re.compile(glob_translate(pattern))
    return [file for file in files if regex.match(file)]


def splits_by_name(files: list[str]) -> dict[str, list[str]]:
    """The splits that file and folder names tell; if they tell none, everything is "train".

    >>> splits_by_name(["data/train-00000-of-00001.parquet", "dev/a.jsonl", "notes.txt"])
    {'train': ['data/train-00000-of-00001.parquet'], 'validation': ['dev/a.jsonl']}
    """
    splits: dict[str, list[str]] = {}
    for file in files:
        if split := _split_of(file):
            splits.setdefault(split, []).append(file)
    return splits or {"train": files}


def _split_of(file: str) -> str | None:
    """The split in a shard's name (train_sft-00000-of-00004), or a keyword in the file's name, or
    in that of a folder, the innermost first."""
    *folders, last = PurePosixPath(file).parts
    if shard := _SHARD.match(last):
        return _KEYWORDS.get(shard[1], shard[1])
    for part in (last, *reversed(folders)):
        for word in re.split(r"[-._ \d]+", part.lower()):
            if word in _KEYWORDS:
                return _KEYWORDS[word]
    return None


def _choose(name: _Name, splits: dict[str, list[str]]) -> str:
    wanted = name.split or ("train" if "train" in splits or len(splits) > 1 else next(iter(splits)))
    if wanted in splits:
        return wanted
    close = nearest(wanted, splits)
    hint = f"did you mean {close!r}? " if close else ""
    fix = f"{hint}it has: {', '.join(sorted(splits))}"
    raise InputError(f"this dataset has no split {wanted!r}", name.given, fix)


def _one_kind(files: list[str]) -> list[str]:
    """The files of the most common kind: what stands there in two formats is not read twice."""
    [(kind, _)] = Counter(_kind(file) for file in files).most_common(1)
    return [file for file in files if _kind(file) == kind]
