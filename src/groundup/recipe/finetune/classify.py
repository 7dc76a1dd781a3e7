"""Labels: which one belongs to a text, learned from texts that have one."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from groundup.data.examples import Example
from groundup.data.labelled import LabelledBatches, encode_texts
from groundup.data.parts import Parts
from groundup.evaluate.classification import Classification, baselines, measure
from groundup.evaluate.prediction import predict
from groundup.evaluate.results import Measured
from groundup.evaluate.sections import classification_result
from groundup.language import N_
from groundup.model.classifier import Classifier
from groundup.model.gpt import GPT
from groundup.recipe.directory import RunDirectory
from groundup.recipe.finetune.rows import labelled_rows, left_out
from groundup.recipe.finetune.tuning import Tuning
from groundup.recipe.schema import Recipe
from groundup.sources.rows import BadRows
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.loop import Run
from groundup.tune.classify import balanced_weights, classification, freeze
from groundup.weights.classifier import save_classifier

MOST_MISTAKES = 50


def prepare_classify(recipe: Recipe, run: RunDirectory, model: GPT, tokenizer: Tokenizer) -> Tuning:
    """The labelled rows of a recipe as a tuning of `model`'s body under a new head."""
    config, bad = recipe.finetune, BadRows()
    parts = labelled_rows(recipe, bad)
    classifier = Classifier.from_gpt(model, len(parts.labels), config.classify.pooling)
    freeze(classifier, config.classify.train_layers)
    encoded = encode_texts(tokenizer, _texts(parts.train), model.config.context_length)
    truth = parts.ids(parts.train)
    size, seed = config.train.micro_batch, config.train.seed
    batches = LabelledBatches(encoded.ids, truth, size, seed)
    weighted = config.classify.balance == "weights"
    weights = balanced_weights(truth, len(parts.labels)) if weighted else None

    def figures(examples: Sequence[Example]) -> tuple[float, Classification] | None:
        return _measured(classifier, tokenizer, parts, examples)

    def evaluate(run: Run, whole: bool) -> dict[str, float]:
        found = figures(parts.validation)
        return {"val_loss": found[0], "val_accuracy": found[1].accuracy} if found else {}

    settings = config.classify
    objective = classification(weights, settings.label_smoothing, settings.language_loss, model)
    return Tuning(
        classifier, objective, batches, len(batches),
        evaluate, lambda: _finished(run.path.name, parts, figures),
        lambda out: save_classifier(classifier, tokenizer, parts.labels, out), bad=bad,
        notes=[
            *left_out(bad, sum(map(len, (parts.train, parts.validation, parts.test)))),
            *parts.notes,
            *([encoded.note] if encoded.note else []),
        ],
    )  # fmt: skip


def _texts(examples: Sequence[Example]) -> list[str]:
    return [example.text for example in examples]


def _measured(
    classifier: Classifier, tokenizer: Tokenizer, parts: Parts, examples: Sequence[Example]
) -> tuple[float, Classification] | None:
    """The mean −log p of the true labels, and what the predictions come to; None without examples."""
    if not examples:
        return None
    texts, truth = _texts(examples), parts.ids(examples)
    probabilities = predict(classifier, tokenizer, texts)
    loss = -float(np.log(probabilities[np.arange(len(truth)), truth].clip(1e-12)).mean())
    return loss, measure(probabilities, truth, parts.labels, texts)


def _finished(name: str, parts: Parts, figures: Any) -> Measured:
    """Accuracy on all parts, and all that is known of the test part."""
    result: dict[str, Any] = {"labels": parts.labels}
    for part, examples in (("train", parts.train), ("val", parts.validation)):
        found = figures(examples)
        result[f"{part}_accuracy"] = found[1].accuracy if found else None
    if not parts.test:
        return Measured(result | {"test_accuracy": None}, [])
    _, test = figures(parts.test)
    others = _baselines(parts)
    told = asdict(test)
    told["mistakes"] = told["mistakes"][:MOST_MISTAKES]
    result |= {
        "test_accuracy": test.accuracy, "test_interval": test.interval, "macro_f1": test.macro_f1,
        "baselines": {other: found.accuracy for other, found in others.items()}, "test": told,
    }  # fmt: skip
    return Measured(
        result, [classification_result(name, N_("rows kept for the test"), test, others)]
    )


def _baselines(parts: Parts) -> dict[str, Classification]:
    """How those do on the test part who never read more than the words."""
    train, test = _texts(parts.train), _texts(parts.test)
    found = baselines(train, parts.ids(parts.train), test, len(parts.labels))
    truth = parts.ids(parts.test)
    return {name: measure(p, truth, parts.labels, test) for name, p in found.items()}
