"""Variants of a model measured side by side: quality, bytes on disk, tokens per second, and which of them
no other beats in everything (`groundup.compress.pareto`).

No variant is measured on what it was calibrated by: where no text for that is named, and one is needed,
the text to measure on is split.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from groundup.data.examples import LabelledConfig, read_examples
from groundup.data.splitting import SPLITS, split_documents
from groundup.errors import InputError
from groundup.evaluate.intervals import Interval
from groundup.evaluate.results import Measured
from groundup.evaluate.subject import LocalModel
from groundup.files import atomic_file
from groundup.recipe.compress.comparison import Row, report_page, with_dominance
from groundup.recipe.compress.speed import Round, labelling, taking_turns, writing
from groundup.recipe.compress.variants import STANDARD, Variant, make_variants
from groundup.recipe.measure import (
    Exam,
    exam_from_files,
    join_pieces,
    measure_exam,
    measure_labels,
    measure_text,
)
from groundup.recipe.watch import Watcher
from groundup.sources.read import read_pieces
from groundup.sources.rows import BadRows
from groundup.weights.classifier import load_classifier
from groundup.weights.directory import find, load
from groundup.weights.stored import on_disk

HELD_OUT = 0.1
"""The share of a text that is measured on, where the rest is calibrated by."""
PROMPT_TOKENS = 16
MOST_CHARACTERS = 1000
"""Of the text, to take the prompt from."""
NEW_TOKENS = 128
ORIGINAL = "original"


@dataclass(frozen=True)
class ReportRequest:
    """Which models are compared, and on what."""

    models: tuple[str, ...]
    """The first is the one that variants are made of."""
    text: tuple[str, ...]
    """What language models are to predict. Empty for classifiers."""
    out: Path
    exam: tuple[str, ...] = ()
    classify: tuple[str, ...] = ()
    """Texts with labels: for classifiers."""
    variants: tuple[str, ...] | None = None
    """What is to be made of the first model. Default: `STANDARD`, if it is the only one."""
    calibration: tuple[str, ...] = ()
    """What variants are made by. Default: the first part of `text`, the rest being measured."""
    new_tokens: int = NEW_TOKENS
    """How many tokens are written after `PROMPT_TOKENS`, to measure the speed."""


def compare_variants(request: ReportRequest, watcher: Watcher) -> list[Row]:
    """Make the variants, measure all, and write `report.html` and `report.json` into `request.out`.
    All are held in memory together, as they take turns. Raises `InputError` for what does not fit."""
    chosen = _chosen(request)
    places = {name: find(name) for name in request.models}
    texts = _texts(request, any(variant.needs_text for variant in chosen))
    if chosen:
        first = request.models[0]
        made = make_variants(chosen, places.pop(first), texts.calibration, request.out, watcher)
        places = {ORIGINAL: find(first)} | made | places
    compare = _compare_classifiers if request.classify else _compare_language
    rows = with_dominance(compare(request, places, texts, watcher))
    with atomic_file(request.out / "report.html") as file:
        file.write(report_page(rows))
    with atomic_file(request.out / "report.json") as file:
        json.dump({"variants": [row.to_json() for row in rows]}, file, indent=2)
    return rows


def _chosen(request: ReportRequest) -> list[Variant]:
    """What is to be made."""
    if bool(request.text) == bool(request.classify):
        raise InputError(
            "language models are measured on text, classifiers on labels: it is one or the other",
            "compress report", "give --text, or --classify with models from finetune classify",
        )  # fmt: skip
    if request.classify and (request.variants or request.exam):
        raise InputError(
            "a classifier takes no exam, and no variants of it are made here", "--classify",
            "name the classifiers to compare, and leave out --exam and --variants",
        )  # fmt: skip
    alone = len(request.models) == 1 and not request.classify
    names = request.variants if request.variants is not None else STANDARD if alone else ()
    return [Variant.parse(name) for name in names]


# The text


@dataclass(frozen=True)
class _Text:
    """Files to calibrate by, and files to measure on."""

    calibration: Sequence[str | Path]
    measured: Sequence[str | Path]


def _texts(request: ReportRequest, is_needed: bool) -> _Text:
    if request.calibration or not is_needed:
        return _Text(request.calibration, request.text)
    return split_text(request.text, request.out / "text")


def split_text(paths: Sequence[str], folder: Path) -> _Text:
    """Documents to calibrate by and others, a tenth, to measure on, each as a file in `folder`."""
    parts = {split: folder / f"{split}.jsonl" for split in SPLITS}
    with TemporaryDirectory() as scratch:
        routed = list(split_documents(read_pieces(paths), HELD_OUT, Path(scratch)))
    for split, path in parts.items():
        documents = list(join_pieces(piece for to, piece in routed if to == split))
        if not documents:
            raise InputError(
                "this text is too short to calibrate by a part and measure on another",
                str(paths[0]), "give more text, or another one with --calibration",
            )  # fmt: skip
        with atomic_file(path) as file:
            file.writelines(
                json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in documents
            )
    return _Text([parts["train"]], [parts["validation"]])


# The measuring


def _compare_language(
    request: ReportRequest, places: Mapping[str, Path], texts: _Text, watcher: Watcher
) -> list[Row]:
    exam = exam_from_files(request.exam) if request.exam else None
    beginning = next(join_pieces(read_pieces(texts.measured)), "")[:MOST_CHARACTERS]
    qualities, works, tokenizers = {}, [], set()
    for name, place in places.items():
        watcher.stage(name, "How well it does.")
        subject = LocalModel(*load(place), progress=watcher.advanced)
        tokenizers.add(subject.tokenizer.fingerprint)
        qualities[name] = _language(subject, name, texts, exam)
        works.append(_writing(subject, beginning, request.new_tokens))
    if len(tokenizers) > 1:
        watcher.warned(
            "these models have different tokenizers: a token of one is not as much text as one of another, "
            "so their tokens per second do not compare"
        )
    return _rows(places, qualities, works, watcher)


def _language(subject: LocalModel, name: str, texts: _Text, exam: Exam | None) -> dict[str, Any]:
    """A model's qualities, by the fields of `Row`."""
    of_text = measure_text(subject, name, texts.measured)
    of_exam = measure_exam(subject, name, exam, {}) if exam else None
    return _quality("bits_per_byte", "bits_per_byte_interval", of_text) | _quality(
        "accuracy", "interval", of_exam
    )


def _quality(name: str, interval: str, measured: Measured | None) -> dict[str, Any]:
    if measured is None:
        return {name: None, f"{name}_interval": None}
    figures = measured.figures
    return {name: figures[name], f"{name}_interval": Interval(*figures[interval])}


def _writing(subject: LocalModel, beginning: str, new_tokens: int) -> Round:
    """Go on with the beginning of the text, within what the model can see."""
    longest = subject.context_length
    prompt = subject.tokenizer.encode_prompt(beginning)[: min(PROMPT_TOKENS, longest // 2)]
    return writing(subject.model, prompt, min(new_tokens, longest - len(prompt)))


def _compare_classifiers(
    request: ReportRequest, places: Mapping[str, Path], texts: _Text, watcher: Watcher
) -> list[Row]:
    examples = read_examples(request.classify, LabelledConfig(), BadRows())
    qualities, works = {}, []
    for name, place in places.items():
        watcher.stage(name, "Which labels it gives.")
        measured = measure_labels(place, name, request.classify)
        bits = _quality("bits_per_byte", "", None)
        qualities[name] = bits | _quality("accuracy", "interval", measured)
        classifier, tokenizer, _ = load_classifier(place)
        works.append(labelling(classifier, tokenizer, [example.text for example in examples]))
    return _rows(places, qualities, works, watcher)


def _rows(
    places: Mapping[str, Path], qualities: Mapping[str, dict[str, Any]], works: Sequence[Round],
    watcher: Watcher,
) -> list[Row]:  # fmt: skip
    watcher.stage("speed", "How many tokens per second, all taking turns.")
    speeds = taking_turns(works)
    return [
        Row(name, str(place), **qualities[name], bytes=on_disk(place).bytes, speed=speed)
        for (name, place), speed in zip(places.items(), speeds, strict=True)
    ]
