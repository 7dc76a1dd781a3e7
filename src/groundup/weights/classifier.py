"""Classifiers to and from model directories: the labels, how a text is pooled, the padding.

Where a family of Hugging Face's covers the body and the text's last token is what counts, the directory
is that of the family's `…ForSequenceClassification`, which `transformers` loads; else of groundup's own
kind. Theirs are loaded as well.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from groundup.errors import CorruptFileError, InputError
from groundup.files import atomic_directory, write_json
from groundup.language import N_
from groundup.model.classifier import POOLINGS, Classifier, Pooling
from groundup.tokenizer.files import read_json
from groundup.tokenizer.framing import END_OF_TEXT
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import check_vocabulary, find, load_tokenizer
from groundup.weights.families import family_for
from groundup.weights.huggingface import (
    NO_TOKENS,
    OUR_CLASSIFIER,
    describe,
    gives_labels,
    read_config,
    read_weights,
    write_files,
)

ONE_LABEL = "single_label_classification"


def save_classifier(
    classifier: Classifier, tokenizer: Tokenizer, labels: Sequence[str], directory: str | Path
) -> str:
    """Write a classifier, its tokenizer and its labels (row by row of the head) as a model directory,
    replacing one that stood there. Returns the `model_type`."""
    ids = {label: id_ for id_, label in enumerate(labels)}
    told = {
        "id2label": {str(id_): label for label, id_ in ids.items()},
        "label2id": ids,
        "problem_type": ONE_LABEL,
    }
    family = family_for(classifier.config) if classifier.pooling == "last" else None
    if family is None:
        told |= {"architectures": [OUR_CLASSIFIER], "pooling": classifier.pooling}
    else:
        family = family.classifying
    config = describe(classifier.config, family)
    with atomic_directory(directory) as folder:
        tokenizer.save(folder)
        write_files(classifier, folder, config | told | _token_ids(tokenizer, folder), family)
    return config["model_type"]


def _token_ids(tokenizer: Tokenizer, folder: Path) -> dict[str, int | None]:
    """The ids that stand in a config.json. Padding, without which `transformers` does not find the last
    token of a text, is the token that is named for it, else one that no text has; a tokenizer in
    `folder` that has no name for it gets one."""
    named, special = tokenizer.framing.names, tokenizer.special_tokens
    wanted = (named.get("pad_token"), END_OF_TEXT, named.get("eos_token"), *special)
    padding = next((token for token in wanted if token in special), None)
    settings = folder / "tokenizer_config.json"
    if padding is not None and "pad_token" not in named:
        given = read_json(settings) if settings.is_file() else {}
        write_json(settings, given | {"pad_token": padding})
    begin = {"bos_token_id": tokenizer.begin_ids[0]} if tokenizer.begin_ids else {}
    end = {"eos_token_id": tokenizer.end_of_text_id}
    return NO_TOKENS | begin | end | {"pad_token_id": special[padding] if padding else None}


def load_classifier(
    source: str | Path, dtype: torch.dtype = torch.float32
) -> tuple[Classifier, Tokenizer, list[str]]:
    """The classifier of a model directory or hub id, its tokenizer and its labels, row by row.

    Raises `InputError` where `source` is no classifier, or one of another kind than one label for each
    text, and `CorruptFileError` where its weights are cut or do not fit its config."""
    path = find(source)
    given = read_json(path / "config.json") if path.is_dir() else {}
    if not gives_labels(given):
        raise InputError(
            "this is a language model: it has no labels to give", str(path),
            f"teach it some: groundup finetune classify --model {path} --data FILE",
        )  # fmt: skip
    labels, pooling = _labels(given, path), _pooling(given, path)
    tokenizer = load_tokenizer(path)
    config, family = read_config(path / "config.json")
    build = partial(Classifier, n_labels=len(labels), pooling=pooling)
    classifier = read_weights(path, build, config, family and family.classifying, dtype)
    check_vocabulary(tokenizer, classifier, path)
    return classifier, tokenizer, labels


def _labels(given: Mapping[str, Any], path: Path) -> list[str]:
    """The labels in the order of the head's rows; those without a name are called as by
    `transformers`."""
    kind = given.get("problem_type") or ONE_LABEL
    named = given.get("id2label")
    if not isinstance(named, dict):
        named = {i: f"LABEL_{i}" for i in range(given.get("num_labels") or 2)}
    if kind != ONE_LABEL or len(named) < 2:
        raise InputError(
            f"this model has {len(named)} outputs for {kind if len(named) > 1 else N_('a number')}: it "
            "does not give each text one of several labels", str(path / "config.json"),
            f"use a model for {ONE_LABEL}",
        )  # fmt: skip
    by_id = {str(id_): str(label) for id_, label in named.items()}
    if set(by_id) != {str(i) for i in range(len(by_id))}:
        raise CorruptFileError(
            f"id2label has the ids {', '.join(by_id)}, not 0 to {len(by_id) - 1}",
            str(path / "config.json"), "copy the model again",
        )  # fmt: skip
    return [by_id[str(i)] for i in range(len(by_id))]


def _pooling(given: Mapping[str, Any], path: Path) -> Pooling:
    """How a text becomes one vector: in every family, its last token."""
    pooling = given.get("pooling", "last")
    if pooling not in POOLINGS:
        raise CorruptFileError(
            f"pooling is {pooling!r}, not one of {', '.join(POOLINGS)}", str(path / "config.json"),
            "save the model again",
        )  # fmt: skip
    return pooling
