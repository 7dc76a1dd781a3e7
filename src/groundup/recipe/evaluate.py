"""The evaluation stage: the finished model on what the recipe names."""

import json
from pathlib import Path
from typing import Any

from groundup.evaluate.results import Measured, Result, result_from_json
from groundup.evaluate.subject import LocalModel, Scorer
from groundup.files import atomic_file
from groundup.language import N_
from groundup.recipe.directory import RunDirectory
from groundup.recipe.measure import (
    Exam,
    exam_from_documents,
    exam_from_files,
    measure_exam,
    measure_text,
)
from groundup.recipe.schema import Recipe
from groundup.recipe.stages import Stage
from groundup.recipe.watch import Watcher
from groundup.sources.fingerprint import fingerprint
from groundup.weights.directory import find, load, weights_checksum


def stage(recipe: Recipe, run: RunDirectory) -> Stage:
    def inputs() -> dict[str, Any]:
        config = recipe.evaluate
        files = {path: fingerprint([path]) for path in (*config.text, *config.exam)}
        checksum = weights_checksum(last_model(recipe, run))
        return {"model": checksum, "files": files, "settings": config.model_dump()}

    return Stage(
        "evaluate",
        "Measuring the finished model on what the recipe names.",
        inputs,
        lambda watcher: evaluate(recipe, run, watcher),
        run.scores,
    )


def last_model(recipe: Recipe, run: RunDirectory) -> Path:
    """The model directory that a recipe builds last."""
    return run.tuned if recipe.finetune.objective else run.pretrained


def evaluate(recipe: Recipe, run: RunDirectory, watcher: Watcher) -> None:
    """Measure the model and write `scores.json`: figures for scripts, results for the report."""
    measured = _measured(recipe, run, watcher)
    scores = {
        "figures": {name: value for each in measured for name, value in each.figures.items()},
        "results": [result.to_json() for each in measured for result in each.results],
    }
    with atomic_file(run.scores) as file:
        json.dump(scores, file, indent=2, ensure_ascii=False)


def read_scores(run: RunDirectory) -> tuple[dict[str, Any], list[Result]]:
    """What the stage measured: the figures by name, and the results."""
    scores = json.loads(run.scores.read_text(encoding="utf-8"))
    return scores["figures"], [result_from_json(result) for result in scores["results"]]


def _measured(recipe: Recipe, run: RunDirectory, watcher: Watcher) -> list[Measured]:
    config = recipe.evaluate
    if not (config.text or config.exam or config.build_exam):
        return []
    name = run.path.name
    subject = LocalModel(*load(last_model(recipe, run)), progress=watcher.advanced)
    measured = []
    if config.text:
        measured.append(measure_text(subject, name, config.text, config.stride))
    if exam := _exam(recipe, run):
        measured.append(measure_exam(subject, name, exam, _baselines(recipe, watcher), config.ask))
    return measured


def _exam(recipe: Recipe, run: RunDirectory) -> Exam | None:
    config = recipe.evaluate
    if config.exam:
        return exam_from_files(config.exam)
    return exam_from_documents([run.path]) if config.build_exam else None


def _baselines(recipe: Recipe, watcher: Watcher) -> dict[str, Scorer]:
    """The model that was gone on from, if there is one."""
    begun = recipe.finetune.model or recipe.pretrain.begin_from
    return (
        {N_("base model"): LocalModel(*load(find(begun)), progress=watcher.advanced)}
        if begun
        else {}
    )
