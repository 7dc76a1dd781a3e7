"""One model measured: what `groundup evaluate`, and the last stage of a run, find out.

Each kind of measuring is one function that gives a `Measured`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydantic import PositiveInt

from groundup.cleaning.leaks import find_leaks
from groundup.cleaning.sketch import batches
from groundup.data.examples import LabelledConfig, read_examples
from groundup.data.splitting import split_documents
from groundup.errors import InputError, unknown
from groundup.evaluate.classification import measure
from groundup.evaluate.cloze import ClozeConfig, build_cloze
from groundup.evaluate.exam import Ask, ExamResult, compare, examine
from groundup.evaluate.exam_file import ExamQuestion, read_exam
from groundup.evaluate.intervals import Interval
from groundup.evaluate.language import Parts, TextScore, score_documents, summarize
from groundup.evaluate.ngram import NGram
from groundup.evaluate.prediction import predict
from groundup.evaluate.results import Figure, Measured, Result
from groundup.evaluate.sections import classification_result, exam_result, language_result
from groundup.evaluate.subject import LocalModel, Scorer
from groundup.language import N_
from groundup.recipe.directory import RunDirectory
from groundup.recipe.documents import VALIDATION, read_index, read_source
from groundup.recipe.encode import sources_of
from groundup.recipe.schema import read_recipe
from groundup.settings import Settings
from groundup.sources.find import STANDARD_INPUT
from groundup.sources.fingerprint import fingerprint
from groundup.sources.read import Piece, read_pieces
from groundup.sources.rows import BadRows
from groundup.weights.classifier import load_classifier
from groundup.weights.directory import find

Paths = Sequence[str | Path]


class Counts(Settings):
    """Numbers that apply to whatever is measured."""

    stride: PositiveInt | None = None
    """Tokens by which the window moves on in a long text. Default: half of the context length."""
    limit: PositiveInt | None = None
    """Only the first so many questions."""


def trained_on(source: str | Path, paths: Paths) -> list[str]:
    """What is to be said where some of `paths` are files, by name and content, that a run made its model
    from. Nothing is known of models that no run has made."""
    run = RunDirectory(find(source).parent.parent)
    if not run.recipe.is_file():
        return []
    recipe = read_recipe(str(run.recipe), {})
    named = [path for part in (recipe.data, *recipe.data.sources) for path in part.paths]
    known = {fingerprint([p]) for p in (*named, *recipe.finetune.data) if Path(p).exists()}
    return [
        N_(
            f"{source} was trained on rows of {path}: how it does there says little about other texts. "
            f"What it does on those that were kept aside stands in {run.report}"
        )
        for path in paths
        if path != STANDARD_INPUT and fingerprint([path]) in known
    ]


# Language


def measure_text(
    subject: LocalModel, name: str, paths: Paths, stride: int | None = None
) -> Measured:
    """Bits per byte and perplexity of files: of all together, and of each where there are several.
    `name` is what the model is called."""
    parts = {str(path): score_files(subject, [path], stride) for path in paths}
    scores = {path: summarize(scored) for path, scored in parts.items()}
    whole = summarize([part for scored in parts.values() for part in scored])
    figures = {"texts": {path: _text_figures(score) for path, score in scores.items()}}
    results = [language_result(name, path, score) for path, score in scores.items()]
    if len(scores) > 1:
        results.append(language_result(name, N_("all together"), whole))
    return Measured(_text_figures(whole) | figures, results)


def score_files(subject: LocalModel, paths: Paths, stride: int | None = None) -> list[Parts]:
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


def _text_figures(score: TextScore) -> dict[str, Any]:
    return {
        "bits_per_byte": score.bits_per_byte,
        "bits_per_byte_interval": list(score.bits_per_byte_interval),
        "perplexity": score.perplexity,
        "perplexity_interval": list(score.perplexity_interval),
        "loss": score.loss, "tokens": score.tokens, "bytes": score.text_bytes,
        "documents": score.documents,
    }  # fmt: skip


# Exams


@dataclass(frozen=True)
class Exam:
    """Questions, and what was left out on the way to them: places and what is wrong there."""

    name: str
    questions: list[ExamQuestion]
    left_out: BadRows
    good: int
    """How many questions there were, before only the first of them were taken."""

    def first(self, limit: int | None) -> "Exam":
        """Only so many of its questions."""
        return replace(self, questions=self.questions[:limit])


def exam_from_files(paths: Paths) -> Exam:
    """The questions that others wrote."""
    bad = BadRows()
    questions = read_exam(paths, bad)
    return Exam(", ".join(Path(path).name for path in paths), questions, bad, len(questions))


def exam_from_documents(paths: Paths, train: Paths = (), config: ClozeConfig | None = None) -> Exam:
    """A cloze exam of documents that were held out of training: of files, or of run directories, whose
    validation documents are taken. Documents that stand in the text of `train`, exactly or nearly,
    are left out."""
    pieces = [piece for path in paths for piece in _held_out(Path(path))]
    bad = BadRows()
    for leak in find_leaks(read_pieces(train), pieces) if train else ():
        bad.add(leak.against, N_(f"this document is in the training text too: {leak.train}"))
    leaked = {where for where, _ in bad.problems}
    kept = [piece for piece in pieces if piece.where not in leaked]
    if not kept:
        raise InputError(
            "all documents to build an exam from are in the training text", str(paths[0]),
            "give documents that were held out",
        )  # fmt: skip
    where = [piece.where for piece in kept if piece.starts_document]
    questions = build_cloze(list(join_pieces(kept)), config, where)
    return Exam(N_("built from held-out documents"), questions, bad, len(questions))


def _held_out(path: Path) -> list[Piece]:
    """The documents of a file, or those that a run keeps for validation."""
    run = RunDirectory(path)
    if not (run.corpus / "corpus.json").is_file():
        return list(read_pieces([path]))
    if VALIDATION in read_index(run.corpus)["sources"]:
        return list(read_source(run.corpus, VALIDATION))
    fraction = read_recipe(str(run.recipe), {}).data.validation_fraction
    held_out: list[Piece] = []
    for name in sources_of(run):
        with TemporaryDirectory() as scratch:
            routed = split_documents(read_source(run.corpus, name), fraction, Path(scratch))
            held_out += [piece for split, piece in routed if split == "validation"]
    return held_out


def n_gram_of(paths: Paths) -> NGram:
    """The n-gram baseline, learned from files."""
    return NGram(piece.text for piece in read_pieces(paths))


def measure_exam(
    subject: Scorer, name: str, exam: Exam, baselines: Mapping[str, Scorer], ask: Ask = "text"
) -> Measured:
    """An exam, taken by the model and by each of the baselines, by their names."""
    result = examine(subject, exam.questions, ask)
    others = {other: examine(scorer, exam.questions, ask) for other, scorer in baselines.items()}
    bad = exam.left_out
    figures = _exam_figures(result) | {
        "ask": ask, "too_long": result.too_long,
        "majority": result.majority._asdict(), "accuracy_by_rule": result.accuracy_by_rule,
        "left_out": [{"where": where, "what": what} for where, what in bad.problems],
        "against": {other: _against(of, result) for other, of in others.items()},
    }  # fmt: skip
    notes = [_compared(other, of, result) for other, of in others.items()]
    if bad:
        notes.append(bad.summary(exam.good))
    told = exam_result(name, exam.name, result, others)
    return Measured(figures, [replace(told, notes=[*told.notes, *notes])])


def _exam_figures(result: ExamResult) -> dict[str, Any]:
    return {
        "accuracy": result.accuracy, "interval": list(result.interval), "chance": result.chance,
        "p_value": result.p_value, "verdict": result.verdict, "questions": len(result.right),
    }  # fmt: skip


def _against(other: ExamResult, result: ExamResult) -> dict[str, Any]:
    difference = compare(other, result)
    return _exam_figures(other) | {
        "difference": difference.mean, "difference_interval": list(difference.interval)
    }  # fmt: skip


def _compared(name: str, other: ExamResult, result: ExamResult) -> str:
    """One baseline in words: what it gets, and whether the model is clearly above or below it."""
    difference = compare(other, result)
    above = N_("the model is better") if difference.mean > 0 else N_("the model is worse")
    said = above if difference.is_clear else N_("no clear difference")
    return N_(
        f"{name}: {other.accuracy:.3f} {other.interval}; {said}: "
        f"{difference.mean:+.3f} {difference.interval}"
    )


# Tasks of lm-evaluation-harness


def measure_tasks(
    subject: LocalModel, name: str, tasks: Sequence[str], limit: int | None = None
) -> Measured:
    """Tasks by name, file or folder."""
    from groundup.evaluate.harness import HarnessModel, run_tasks

    model = HarnessModel(subject)
    metrics = run_tasks(model, tasks, limit)
    cut = model.cut + subject.cut_prompts
    notes = (
        [N_(f"{cut:,} contexts are longer than the model's: only their ends were read")]
        if cut
        else []
    )
    results = [
        Result(f"Task: {task}", name, _metric_figures(values), notes=notes)
        for task, values in metrics.items()
    ]
    return Measured({"tasks": metrics, "cut_contexts": cut}, results)


def _metric_figures(metrics: Mapping[str, Any]) -> list[Figure]:
    """The metrics of a task, with the intervals that its standard errors give."""
    figures = []
    for name, value in metrics.items():
        if isinstance(value, float) and not name.endswith("_stderr"):
            error = metrics.get(f"{name}_stderr")
            around = 1.96 * error if isinstance(error, float) else None
            interval = Interval(value - around, value + around) if around is not None else None
            figures.append(Figure(name, value, interval, 4))
    return figures


# Labels


def measure_labels(source: str | Path, name: str, paths: Paths) -> Measured:
    """A classifier on texts whose labels are known; all of them are test texts here. The figures are
    named as those of an exam are: what always the same label would get is the `chance`."""
    classifier, tokenizer, labels = load_classifier(source)
    bad = BadRows()
    examples = read_examples(paths, LabelledConfig(), bad)
    for example in examples:
        if example.label not in labels:
            raise unknown("label", example.label, labels, example.where)
    texts = [example.text for example in examples]
    truth = np.array([labels.index(example.label) for example in examples])
    found = measure(predict(classifier, tokenizer, texts), truth, labels, texts)
    chance = float(np.bincount(truth).max() / len(truth))
    better = found.interval.low > chance
    said = (
        N_("better than always saying the most frequent label") if better
        else N_("no better than always saying the most frequent label")
    )  # fmt: skip
    verdict = N_(f"{said}: {found.accuracy:.3f} {found.interval}, that gets {chance:.3f}")
    result = classification_result(name, ", ".join(Path(path).name for path in paths), found, {})
    notes = [bad.summary(len(examples))] if bad else []
    baselines = [Figure("always the most frequent label", chance)]
    figures = {
        "accuracy": found.accuracy, "interval": list(found.interval), "chance": chance,
        "verdict": verdict, "macro_f1": found.macro_f1, "f1": found.f1, "labels": labels,
        "confusion": found.confusion, "calibration_error": found.calibration_error,
        "mistakes": [asdict(mistake) for mistake in found.mistakes], "texts": len(texts),
    }  # fmt: skip
    return Measured(figures, [replace(result, baselines=baselines, verdict=verdict, notes=notes)])
