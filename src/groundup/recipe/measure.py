"""One model measured: what `groundup evaluate` finds out, as figures and in plain words.

Each kind of measuring is one function that gives a `Measured`; the command line only prints them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import PositiveInt

from groundup.cleaning.leaks import find_leaks
from groundup.data.splitting import split_documents
from groundup.errors import InputError
from groundup.evaluate.cloze import ClozeConfig, build_cloze
from groundup.evaluate.exam import Ask, ExamResult, compare, examine
from groundup.evaluate.exam_file import ExamQuestion, read_exam
from groundup.evaluate.language import TextScore, summarize
from groundup.evaluate.ngram import NGram
from groundup.evaluate.subject import LocalModel, Scorer
from groundup.recipe.directory import RunDirectory
from groundup.recipe.documents import VALIDATION, read_index, read_source
from groundup.recipe.encode import sources_of
from groundup.recipe.evaluate import join_pieces, score_files
from groundup.recipe.schema import read_recipe
from groundup.settings import Settings
from groundup.sources.read import Piece, read_pieces
from groundup.sources.rows import BadRows

Paths = Sequence[str | Path]


class Counts(Settings):
    """Numbers that apply to whatever is measured."""

    stride: PositiveInt | None = None
    """Tokens by which the window moves on in a long text. Default: half of the context length."""
    limit: PositiveInt | None = None
    """Only the first so many questions."""


@dataclass(frozen=True)
class Measured:
    """The figures by the names that scripts read, and what they say."""

    figures: dict[str, Any]
    lines: list[str]


# Language


def measure_text(subject: LocalModel, paths: Paths, stride: int | None = None) -> Measured:
    """Bits per byte and perplexity of files: of all together, and of each where there are several."""
    parts = {str(path): score_files(subject, [path], stride) for path in paths}
    scores = {path: summarize(scored) for path, scored in parts.items()}
    whole = summarize([part for scored in parts.values() for part in scored])
    several = {"texts": {path: _text_figures(score) for path, score in scores.items()}}
    lines = [f"{path}: {_text_line(score)}" for path, score in scores.items()]
    if len(scores) > 1:
        lines.append(f"all together: {_text_line(whole)}")
    return Measured(_text_figures(whole) | several, lines)


def _text_figures(score: TextScore) -> dict[str, Any]:
    return {
        "bits_per_byte": score.bits_per_byte,
        "bits_per_byte_interval": list(score.bits_per_byte_interval),
        "perplexity": score.perplexity,
        "perplexity_interval": list(score.perplexity_interval),
        "loss": score.loss, "tokens": score.tokens, "bytes": score.text_bytes,
        "documents": score.documents,
    }  # fmt: skip


def _text_line(score: TextScore) -> str:
    return (
        f"{score.bits_per_byte:.4f} bits per byte {score.bits_per_byte_interval}, "
        f"perplexity {score.perplexity:.2f} ({score.documents:,} "
        f"document{'s' if score.documents > 1 else ''}, {score.tokens:,} tokens)"
    )


# Exams


@dataclass(frozen=True)
class Exam:
    """Questions, and what was left out on the way to them: places and what is wrong there."""

    questions: list[ExamQuestion]
    left_out: BadRows

    def first(self, limit: int | None) -> "Exam":
        """Only so many of its questions."""
        return Exam(self.questions[:limit], self.left_out)


def exam_from_files(paths: Paths) -> Exam:
    """The questions that others wrote."""
    bad = BadRows()
    return Exam(read_exam(paths, bad), bad)


def exam_from_documents(paths: Paths, train: Paths = (), config: ClozeConfig | None = None) -> Exam:
    """A cloze exam of documents that were held out of training: of files, or of run directories, whose
    validation documents are taken. Documents that stand in the text of `train`, exactly or nearly,
    are left out."""
    pieces = [piece for path in paths for piece in _held_out(Path(path))]
    bad = BadRows()
    for leak in find_leaks(read_pieces(train), pieces) if train else ():
        bad.add(leak.against, f"this document is in the training text too: {leak.train}")
    leaked = {where for where, _ in bad.problems}
    kept = [piece for piece in pieces if piece.where not in leaked]
    if not kept:
        raise InputError(
            "all documents to build an exam from are in the training text", str(paths[0]),
            "give documents that were held out",
        )  # fmt: skip
    where = [piece.where for piece in kept if piece.starts_document]
    return Exam(build_cloze(list(join_pieces(kept)), config, where), bad)


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
    subject: Scorer, exam: Exam, baselines: Mapping[str, Scorer], ask: Ask = "text"
) -> Measured:
    """An exam, taken by the model and by each of the baselines, by their names."""
    result = examine(subject, exam.questions, ask)
    others = {name: examine(other, exam.questions, ask) for name, other in baselines.items()}
    bad = exam.left_out
    figures = _exam_figures(result) | {
        "ask": ask, "too_long": result.too_long,
        "majority": result.majority._asdict(), "accuracy_by_rule": result.accuracy_by_rule,
        "left_out": [{"where": where, "what": what} for where, what in bad.problems],
        "against": {name: _against(other, result) for name, other in others.items()},
    }  # fmt: skip
    lines = [result.verdict, *(_compared(name, other, result) for name, other in others.items())]
    if result.too_long:
        lines.append(
            f"{result.too_long:,} of {len(exam.questions):,} questions are longer than the model's "
            "context: only their ends were read"
        )
    if bad:
        lines.append(bad.summary(len(exam.questions)))
    return Measured(figures, lines)


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
    above = "better" if difference.mean > 0 else "worse"
    said = f"the model is {above}" if difference.is_clear else "no clear difference"
    return (
        f"{name}: {other.accuracy:.3f} {other.interval}; {said}: "
        f"{difference.mean:+.3f} {difference.interval}"
    )


# Tasks of lm-evaluation-harness


def measure_tasks(subject: LocalModel, tasks: Sequence[str], limit: int | None = None) -> Measured:
    """Tasks by name, file or folder."""
    from groundup.evaluate.harness import HarnessModel, run_tasks

    model = HarnessModel(subject)
    metrics = run_tasks(model, tasks, limit)
    lines = [f"{task}: {_metrics_line(values)}" for task, values in metrics.items()]
    if cut := model.cut + subject.cut_prompts:
        lines.append(f"{cut:,} contexts are longer than the model's: only their ends were read")
    return Measured({"tasks": metrics, "cut_contexts": cut}, lines)


def _metrics_line(metrics: Mapping[str, Any]) -> str:
    shown = [
        f"{name} {value:.4f}{_standard_error(metrics.get(f'{name}_stderr'))}"
        for name, value in metrics.items()
        if isinstance(value, float) and not name.endswith("_stderr")
    ]
    return ", ".join(shown)


def _standard_error(value: Any) -> str:
    return f" ± {value:.4f}" if isinstance(value, float) else ""
