"""`report.html`: the page that remains of a run: which text and code made this weight, and how."""

from typing import Any

from groundup import page
from groundup.evaluate.report import report_parts
from groundup.files import atomic_file
from groundup.recipe.directory import RunDirectory
from groundup.recipe.documents import read_index
from groundup.recipe.finetune.stage import TuneSummary
from groundup.recipe.finished import Finished
from groundup.recipe.pretrain import Summary
from groundup.recipe.provenance import provenance
from groundup.recipe.schema import Recipe, ReportConfig
from groundup.recipe.stages import Record
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.train.metrics import curves, read_metrics

JOULES_PER_KWH = 3.6e6
LONGEST_SHOWN = 40
# Of rows left out; all of them are in finetune/summary.json.
MOST_ROWS = 100


def write_report(recipe: Recipe, finished: Finished) -> None:
    """Write the report of a finished run."""
    run, pretrained, tuned = finished.run, finished.pretrained, finished.tuned
    parts = [
        *(_pretraining(run, pretrained) if pretrained else []),
        *(_tuning(run, tuned) if tuned else []),
        *report_parts(finished.results),
        *_costs(finished.records, recipe.report),
        page.heading("Which text and code made this model"),
        page.table(["what", "which"], provenance(finished)),
        page.heading("Settings"),
        page.preformatted(recipe.model_dump_json(indent=2)),
    ]
    with atomic_file(run.report) as file:
        file.write(page.page(f"Run {run.path.name}", parts))


def _pretraining(run: RunDirectory, summary: Summary) -> list[str]:
    rows = read_metrics(run.pretrain / "metrics.jsonl")
    return [
        *_result(summary),
        *_data(read_index(run.corpus), summary),
        *_tokenizer(run),
        page.heading("Loss"),
        page.figure(lambda axes: _draw_losses(axes, rows)),
        *_evaluations([row for row in rows if "sample" in row]),
    ]


def _tuning(run: RunDirectory, summary: TuneSummary) -> list[str]:
    """What the tuning came to, and what it left out."""
    rows = read_metrics(run.finetune / "metrics.jsonl")
    share = summary.trainable_parameters / summary.parameters
    figures = [
        ["objective", summary.objective],
        ["trained parameters", f"{summary.trainable_parameters:,} of {summary.parameters:,} ({share:.1%})"],
        ["steps", f"{summary.steps:,}"],
        ["seconds of training", f"{summary.seconds:.1f}"],
    ]  # fmt: skip
    parts = [
        page.heading("The job"),
        page.table(["what", "how much"], figures),
        *map(page.paragraph, summary.notes),
        page.figure(lambda axes: _draw_losses(axes, rows)),
    ]
    if summary.left_out:
        shown = [[row["where"], row["what"]] for row in summary.left_out[:MOST_ROWS]]
        more = "" if len(shown) == len(summary.left_out) else f" (the first {MOST_ROWS})"
        parts.append(page.heading(f"Rows left out{more}", 3))
        parts.append(page.table(["where", "why"], shown))
    return parts


def _result(summary: Summary) -> list[str]:
    figures = [
        ["parameters", f"{summary.parameters:,}"],
        ["steps", f"{summary.steps:,}"],
        ["tokens seen", f"{summary.tokens:,}"],
        ["seconds of training", f"{summary.seconds:.1f}"],
        *([f"share of the time: {kind}", f"{of:.1%}"] for kind, of in summary.time_shares.items()),
        ["validation loss (nats per token)", _number(summary.val_loss)],
        ["validation bits per byte", _number(summary.val_bits_per_byte)],
    ]
    return [page.heading("The model"), page.table(["what", "how much"], figures)]


def _data(index: dict[str, Any], summary: Summary) -> list[str]:
    """What was read, what cleaning did to it, and what was really drawn."""
    parts = [page.heading("Data")]
    rows = [
        [name, f"{of['documents']:,}", f"{of['bytes']:,}", of["checksum"]]
        for name, of in index["sources"].items()
    ]
    parts.append(page.table(["source", "documents", "bytes", "checksum"], rows))
    if survey := index.get("survey"):
        rows = [[name, survey[name]] for name in ("languages", "lengths", "pii") if survey[name]]
        parts.append(page.table(["what", "found"], rows))
    if leaks := index.get("leaks"):
        parts.append(page.heading("Leaks: training documents in the test texts", 3))
        parts.append(page.table(list(leaks[0]), [list(leak.values()) for leak in leaks]))
    drawn = [
        [name, f"{of['windows']:,.0f}", f"{of['tokens']:,.0f}", f"{of['epochs']:.2f}"]
        for name, of in summary.drawn.items()
    ]
    parts.append(page.heading("What was drawn in training", 3))
    parts.append(page.table(["source", "windows", "tokens", "times its text"], drawn))
    for record in index["cleaning"]:
        parts += _cleaning(record)
    return parts


def _cleaning(record: dict[str, Any]) -> list[str]:
    counts = [
        [name, f"{record[name]['documents']:,}", f"{record[name]['characters']:,}"]
        for name in ("seen", "changed", "removed")
    ]
    examples = [
        [example["where"], example["before"], "(left out)" if example["after"] is None else example["after"]]
        for example in record["examples"]
    ]  # fmt: skip
    parts = [
        page.heading(f"Cleaning: {record['step']}", 3),
        page.table(["", "documents", "characters"], counts),
    ]
    return parts + [page.table(["where", "before", "after"], examples)] if examples else parts


def _tokenizer(run: RunDirectory) -> list[str]:
    tokenizer = Tokenizer.load(run.tokenizer)
    by_length = sorted(tokenizer.vocabulary.tokens.values(), key=len, reverse=True)
    longest = " ".join(repr(t.decode("utf-8", "replace")) for t in by_length[:LONGEST_SHOWN])
    return [
        page.heading("Tokenizer"),
        page.paragraph(f"{tokenizer.vocab_size:,} token ids; the longest tokens:"),
        page.preformatted(longest),
    ]


def _draw_losses(axes: Any, rows: list[dict[str, Any]]) -> None:
    found = curves(rows)
    for name, label, style in (("loss", "training", "-"), ("val_loss", "validation", "o-")):
        if points := found.get(name):
            axes.plot(*zip(*points, strict=True), style, label=label, linewidth=1, markersize=4)
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.legend()


def _evaluations(rows: list[dict[str, Any]]) -> list[str]:
    table = [
        [row["step"], f"{row['seconds']:.0f}", _number(row.get("val_loss")),
         _number(row.get("val_bits_per_byte"))]
        for row in rows
    ]  # fmt: skip
    parts = [
        page.heading("Evaluations"),
        page.table(["step", "seconds", "validation loss", "bits per byte"], table),
        page.heading("Samples over time"),
    ]
    for row in rows:
        parts += [page.heading(f"step {row['step']}", 3), page.preformatted(row["sample"])]
    return parts


def _costs(records: dict[str, Record], config: ReportConfig) -> list[str]:
    """Time and memory as measured; energy and cost reckoned from the machine's power."""
    rows = []
    for name, record in records.items():
        kwh = record.seconds * config.watts / JOULES_PER_KWH
        rows.append([
            name, f"{record.seconds:.1f}", f"{record.memory_bytes / 1e9:.2f} GB", f"{kwh:.4f}",
            f"{kwh * config.price_per_kwh:.4f}",
        ])  # fmt: skip
    return [
        page.heading("Time, memory, energy"),
        page.table(["stage", "seconds", "memory", "kWh", "cost"], rows),
        page.paragraph(
            f"Energy and cost are estimates: {config.watts:g} W, {config.price_per_kwh:g} per kWh."
        ),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
