"""The evaluation stage: the finished model on texts that the recipe names."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from groundup.cleaning.sketch import batches
from groundup.evaluate.intervals import Interval
from groundup.evaluate.language import Parts, TextScore, score_documents, summarize
from groundup.evaluate.subject import LocalModel
from groundup.files import atomic_file
from groundup.recipe.directory import RunDirectory
from groundup.recipe.schema import Recipe
from groundup.recipe.stages import Stage
from groundup.recipe.watch import Watcher
from groundup.sources.fingerprint import fingerprint
from groundup.sources.read import Piece, read_pieces
from groundup.weights.directory import load, weights_checksum


def stage(recipe: Recipe, run: RunDirectory) -> Stage:
    def inputs() -> dict[str, Any]:
        texts = {path: fingerprint([path]) for path in recipe.evaluate.text}
        stride = recipe.evaluate.stride
        return {"model": weights_checksum(run.model), "text": texts, "stride": stride}

    return Stage(
        "evaluate",
        "Measuring the finished model on the texts that the recipe names.",
        inputs,
        lambda watcher: evaluate(recipe, run, watcher),
        run.scores,
    )


def evaluate(recipe: Recipe, run: RunDirectory, watcher: Watcher) -> None:
    """Score the model on each text and write `scores.json`."""
    scores: dict[str, Any] = {}
    if recipe.evaluate.text:
        subject = LocalModel(*load(run.model), progress=watcher.advanced)
        for path in recipe.evaluate.text:
            scores[path] = asdict(score_text(subject, [path], recipe.evaluate.stride))
    with atomic_file(run.scores) as file:
        json.dump(scores, file, indent=2, ensure_ascii=False)


def read_scores(run: RunDirectory) -> dict[str, TextScore]:
    """What the stage measured, by file."""
    rows = json.loads(run.scores.read_text(encoding="utf-8"))
    return {path: _from_json(row) for path, row in rows.items()}


def _from_json(row: dict[str, Any]) -> TextScore:
    intervals: dict[str, Any] = {
        name: Interval(*value) for name, value in row.items() if isinstance(value, list)
    }
    return TextScore(**row | intervals)


def score_text(
    subject: LocalModel, paths: Sequence[str | Path], stride: int | None = None
) -> TextScore:
    """Loss and bits per byte of all documents of some files together."""
    return summarize(score_files(subject, paths, stride))


def score_files(
    subject: LocalModel, paths: Sequence[str | Path], stride: int | None = None
) -> list[Parts]:
    """The scores of the documents of some files, each read by itself; `stride` is by default half of
    what the model can look at."""
    stride = stride or max(1, subject.context_length // 2)
    documents = join_pieces(read_pieces(paths))
    groups = batches(documents, len)  # so that long corpora are not held whole
    return [parts for group in groups for parts in score_documents(subject, group, stride)]


def join_pieces(pieces: Iterable[Piece]) -> Iterator[str]:
    """Whole documents."""
    parts: list[str] = []
    for piece in pieces:
        if piece.starts_document and parts:
            yield "".join(parts)
            parts = []
        parts.append(piece.text)
    if parts:
        yield "".join(parts)
