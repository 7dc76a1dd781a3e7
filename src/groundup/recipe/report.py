"""`report.html`: the page that remains of a run, in one file without scripts or network."""

import html
import io
import platform

import matplotlib
import numpy
import torch

from groundup.evaluate.language import LanguageScore
from groundup.files import atomic_file
from groundup.recipe.directory import RunDirectory
from groundup.recipe.schema import Recipe
from groundup.recipe.stages import Record
from groundup.train.metrics import read_metrics

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402  (after the backend is chosen)

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
pre {{ background: #f4f4f4; padding: .7rem; white-space: pre-wrap; overflow-wrap: anywhere }}
table {{ border-collapse: collapse }} td, th {{ padding: .2rem 1rem .2rem 0; text-align: left }}
svg {{ max-width: 100%; height: auto }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


def write_report(
    recipe: Recipe, run: RunDirectory, records: dict[str, Record], scores: dict[str, LanguageScore]
) -> None:
    """Write the report of a finished run."""
    rows = read_metrics(run.pretrain / "metrics.jsonl")
    evaluations = [row for row in rows if "sample" in row]
    parts = [
        "<h2>Loss</h2>", _loss_curve(rows),
        "<h2>Evaluations</h2>", _table(
            ["step", "seconds", "validation loss", "bits per byte"],
            [[row["step"], f"{row['seconds']:.0f}", _number(row.get("val_loss")),
              _number(row.get("val_bits_per_byte"))] for row in evaluations],
        ),
        *_scores(scores),
        "<h2>Samples over time</h2>",
        *(f"<h3>step {row['step']}</h3><pre>{html.escape(row['sample'])}</pre>"
          for row in evaluations),
        "<h2>Time</h2>", _table(
            ["stage", "seconds", "memory"],
            [[name, f"{r.seconds:.1f}", f"{r.memory_bytes / 1e9:.2f} GB"]
             for name, r in records.items()],
        ),
        "<h2>Versions</h2>", _table(["what", "version"], _versions()),
        "<h2>Settings</h2>", f"<pre>{html.escape(recipe.model_dump_json(indent=2))}</pre>",
    ]  # fmt: skip
    with atomic_file(run.report) as file:
        title = f"Run {html.escape(run.path.name)}"
        file.write(PAGE.format(title=title, body="\n".join(parts)))


def _loss_curve(rows: list[dict]) -> str:
    """The training and validation loss over the steps, as SVG."""
    training = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    validation = [(row["step"], row["val_loss"]) for row in rows if "val_loss" in row]
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for points, label, style in ((training, "training", "-"), (validation, "validation", "o-")):
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label, linewidth=1, markersize=4)
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.legend()
    axes.grid(alpha=0.3)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", bbox_inches="tight")
    pyplot.close(figure)
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]


def _scores(scores: dict[str, LanguageScore]) -> list[str]:
    if not scores:
        return []
    rows = [[path, _number(s.bits_per_byte), _number(s.perplexity)] for path, s in scores.items()]
    return ["<h2>Other texts</h2>", _table(["text", "bits per byte", "perplexity"], rows)]


def _versions() -> list[list[str]]:
    return [
        ["Python", platform.python_version()], ["torch", torch.__version__],
        ["numpy", numpy.__version__], ["machine", f"{platform.machine()} {platform.system()}"],
        ["threads", str(torch.get_num_threads())],
    ]  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _table(header: list[str], rows: list[list]) -> str:
    def row(cells: list, kind: str) -> str:
        inside = "".join(f"<{kind}>{html.escape(str(cell))}</{kind}>" for cell in cells)
        return f"<tr>{inside}</tr>"

    return f"<table>{row(header, 'th')}{''.join(row(cells, 'td') for cells in rows)}</table>"
