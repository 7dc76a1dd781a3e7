"""Measurements of each kind as `Result`s, for tables and the report."""

from collections.abc import Mapping, Sequence

from groundup.evaluate.classification import Classification
from groundup.evaluate.exam import ExamResult
from groundup.evaluate.forgetting import Change
from groundup.evaluate.language import TextScore
from groundup.evaluate.results import Figure, Result, Table
from groundup.language import N_

SHOWN = 10
EXCERPT = 300


def language_result(subject: str, text: str, score: TextScore) -> Result:
    """Bits per byte of a text, which is named `text`."""
    return Result(
        f"Language: {text}",
        subject,
        [
            Figure("bits per byte", score.bits_per_byte, score.bits_per_byte_interval, 4),
            Figure("perplexity", score.perplexity, score.perplexity_interval, 2),
            Figure("loss", score.loss, digits=4),
            Figure("tokens", score.tokens, digits=0),
            Figure("documents", score.documents, digits=0),
        ],
        notes=[
            "Bits per byte can be compared between any models; perplexity and loss only between models "
            "with the same tokenizer."
        ],
    )


def exam_result(
    subject: str, exam: str, result: ExamResult, others: Mapping[str, ExamResult]
) -> Result:
    """An exam, beside guessing, always the same letter, and `others` who took it, by their names."""
    baselines = [
        Figure("chance", result.chance),
        Figure(f"always {result.majority.letters}", result.majority.accuracy),
        *(Figure(name, other.accuracy, other.interval) for name, other in others.items()),
    ]
    rules = [(rule, f"{accuracy:.3f}") for rule, accuracy in result.accuracy_by_rule.items()]
    notes = [N_("The choice that the model finds likeliest for each of its bytes is its answer.")]
    return Result(
        f"Exam: {exam}",
        subject,
        [
            Figure("accuracy", result.accuracy, result.interval),
            Figure("questions", len(result.right), digits=0),
        ],
        baselines,
        result.verdict,
        [Table("accuracy by other rules", ("likelihoods compared", "accuracy"), rules)],
        notes,
    )


def classification_result(
    subject: str, text: str, found: Classification, others: Mapping[str, Classification]
) -> Result:
    """A classifier on test texts, beside `others` that were fitted on the same training part."""
    confusion = [(name, *row) for name, row in zip(found.labels, found.confusion, strict=True)]
    mistakes = [
        (mistake.label, mistake.predicted, f"{mistake.probability:.3f}", mistake.text[:EXCERPT])
        for mistake in found.mistakes[:SHOWN]
    ]
    reliability = [
        (of_bin.count, f"{of_bin.confidence:.3f}", f"{of_bin.accuracy:.3f}")
        for of_bin in found.reliability
    ]
    return Result(
        f"Classification: {text}",
        subject,
        [
            Figure("accuracy", found.accuracy, found.interval),
            Figure("macro F1", found.macro_f1),
            Figure("calibration error", found.calibration_error),
            Figure("texts", found.count, digits=0),
        ],
        [Figure(name, other.accuracy, other.interval) for name, other in others.items()],
        _against(found, others),
        [
            Table("confusions (true label down, predicted across)", ("", *found.labels), confusion),
            Table("surest mistakes", ("label", "predicted", "probability", "text"), mistakes),
            Table(
                "how sure, and how often right", ("texts", "confidence", "accuracy"), reliability
            ),
        ],
    )


def forgetting_result(subject: str, changes: Sequence[Change]) -> Result:
    """What tuning has cost on a general panel."""
    figures = [
        Figure(
            N_(
                f"{change.name}, bits per byte" if change.figure == "bits_per_byte"
                else f"{change.name}, accuracy"
            ),
            change.difference, change.difference_interval, 4,
        )
        for change in changes
    ]  # fmt: skip
    rows = [
        (change.name, change.figure.replace("_", " "), f"{change.before:.4f}", f"{change.after:.4f}",
         "yes" if change.is_clear else "not shown")
        for change in changes
    ]  # fmt: skip
    header = ("what", "figure", "before", "after", "changed")
    notes = [
        N_("After less before: bits per byte above zero, or accuracy below zero, is forgetting.")
    ]
    return Result(
        "Forgetting",
        subject,
        figures,
        tables=[Table("before and after", header, rows)],
        notes=notes,
    )


def _against(found: Classification, others: Mapping[str, Classification]) -> str:
    """Where the model stands, by intervals that do not overlap."""
    better = [name for name, other in others.items() if found.interval.low > other.interval.high]
    worse = [name for name, other in others.items() if found.interval.high < other.interval.low]
    same = [name for name in others if name not in better and name not in worse]
    said = {
        N_(f"better than {', '.join(better)}"): better,
        N_(f"worse than {', '.join(worse)}"): worse,
        N_(f"not clearly other than {', '.join(same)}"): same,
    }
    return "; ".join(words for words, names in said.items() if names)
