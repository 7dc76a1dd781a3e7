"""The evaluation stage: the finished model on texts that the recipe names."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from groundup.evaluate.intervals import Interval
from groundup.evaluate.language import TextScore, score_documents, summarize
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
        checksum = weights_checksum(last_model(recipe, run))
        return {"model": checksum, "text": texts, "stride": stride}

    return Stage(
        "evaluate",
        "Measuring the finished model on the texts that the recipe names.",
        inputs,
        lambda watcher: evaluate(recipe, run, watcher),
        run.scores,
    )


def last_model(recipe: Recipe, run: RunDirectory) -> Path:
    """The model directory that a recipe builds last."""
    return run.tuned if recipe.finetune.objective else run.pretrained


def evaluate(recipe: Recipe, run: RunDirectory, watcher: Watcher) -> None:
    """Score the model on each text and write `scores.json`."""
    scores: dict[str, Any] = {}
    if recipe.evaluate.text:
        subject = LocalModel(*load(last_model(recipe, run)), progress=watcher.advanced)
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
    """Loss and bits per byte of the documents of some files, each read by itself; `stride` is by
    default half of what the model can look at."""
    documents = join_pieces(read_pieces(paths))
    stride = stride or max(1, subject.context_length // 2)
    return summarize(score_documents(subject, documents, stride))


def join_pieces(pieces: Iterable[Piece]) -> list[str]:
    """Whole documents."""
    documents: list[list[str]] = []
    for piece in pieces:
        if piece.starts_document:
            documents.append([])
        documents[-1].append(piece.text)
    return ["".join(parts) for parts in documents]
