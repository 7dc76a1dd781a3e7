"""The evaluation stage: the finished model on texts that the recipe names."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from groundup.data.shards import open_shards, write_shards
from groundup.data.windows import evaluation_windows
from groundup.evaluate.language import LanguageScore, score_language
from groundup.files import atomic_file
from groundup.model.gpt import GPT
from groundup.recipe.directory import RunDirectory
from groundup.recipe.schema import Recipe
from groundup.recipe.stages import Stage
from groundup.sources.fingerprint import fingerprint
from groundup.sources.read import read_pieces
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.directory import load, weights_checksum


def stage(recipe: Recipe, run: RunDirectory) -> Stage:
    def inputs() -> dict[str, Any]:
        texts = {path: fingerprint([path]) for path in recipe.evaluate.text}
        return {"model": weights_checksum(last_model(recipe, run)), "text": texts}

    return Stage(
        "evaluate",
        "Measuring the finished model on the texts that the recipe names.",
        inputs,
        lambda watcher: evaluate(recipe, run),
        run.scores,
    )


def last_model(recipe: Recipe, run: RunDirectory) -> Path:
    """The model directory that a recipe builds last."""
    return run.tuned if recipe.finetune.objective else run.pretrained


def evaluate(recipe: Recipe, run: RunDirectory) -> None:
    """Score the model on each text and write `scores.json`."""
    scores: dict[str, Any] = {}
    if recipe.evaluate.text:
        model, tokenizer = load(last_model(recipe, run))
        for path in recipe.evaluate.text:
            scores[path] = asdict(score_file(model, tokenizer, path))
    with atomic_file(run.scores) as file:
        json.dump(scores, file, indent=2, ensure_ascii=False)


def read_scores(run: RunDirectory) -> dict[str, LanguageScore]:
    """What the stage measured, by file."""
    rows = json.loads(run.scores.read_text(encoding="utf-8"))
    return {path: LanguageScore(**row) for path, row in rows.items()}


def score_file(model: GPT, tokenizer: Tokenizer, path: str) -> LanguageScore:
    """Loss and bits per byte of a file's text under a model, which reads each window of it as a text
    of its own: a model that begins its texts with a token has it before each."""
    with tempfile.TemporaryDirectory() as folder:
        write_shards([], tokenizer, Path(folder) / "data", read_pieces([path]))
        tokens = open_shards(Path(folder) / "data", "validation")
        begin = tokenizer.begin_ids
        windows = evaluation_windows(tokens, model.config.context_length, begin_ids=begin)
        return score_language(model, windows, tokens.bytes_per_token, max(1, len(begin)))
