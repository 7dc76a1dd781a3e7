"""The data report as an HTML page and as lines for the terminal."""

from collections.abc import Iterator
from typing import Any

from groundup import page
from groundup.data.report import DataReport


def to_html(report: DataReport, title: str) -> str:
    """The page: every table of the report, with figures of languages and lengths."""
    parts = []
    for name, header, rows in tables(report):
        parts += [page.heading(name), page.table(header, rows)]
    survey = report.survey
    if survey.documents > 1:
        parts += [page.heading("Lengths"), page.figure(lambda axes: _draw_lengths(axes, report))]
    return page.page(title, [page.paragraph(report.suffices + "."), *parts])


def tables(report: DataReport) -> Iterator[tuple[str, list[str], list[list[Any]]]]:
    """(name, header, rows) of each table that has something to show."""
    content = report.to_json()
    figures = ("documents", "bytes", "characters", "tokens", "exact_duplicates", "near_duplicates")
    yield "Documents", ["what", "count"], [[name, f"{content[name]:,}"] for name in figures]
    for name, header in (
        ("encodings", "files"), ("languages", "documents"), ("lengths", "characters"), ("pii", "found"),
    ):  # fmt: skip
        if content[name]:
            rows = [[key, f"{value:,}"] for key, value in content[name].items()]
            yield name.capitalize(), [name, header], rows
    for name in ("repeated_lines", "terms", "leaks", "pii_examples", "problems"):
        if content[name]:
            header = list(content[name][0])
            rows = [
                ["" if row[key] is None else row[key] for key in header] for row in content[name]
            ]
            yield name.replace("_", " ").capitalize(), header, rows


def _draw_lengths(axes: Any, report: DataReport) -> None:
    import numpy as np

    lengths = np.asarray(report.survey.lengths)
    axes.hist(lengths, bins=np.geomspace(max(1, lengths.min()), lengths.max() + 1, 40))
    axes.set_xscale("log")
    axes.set_xlabel("characters")
    axes.set_ylabel("documents")
