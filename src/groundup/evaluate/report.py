"""The page that brings an evaluation together, of one model or of several side by side."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from groundup import page
from groundup.evaluate.results import Figure, Result, sections, side_by_side

BESIDE = (
    "Brackets and bars are 95 % intervals. Where the intervals of two models, or of a model and a "
    "baseline, overlap widely, this text is too small to tell them apart."
)


def report_page(title: str, results: Sequence[Result]) -> str:
    """The whole page in HTML."""
    return page.page(title, report_parts(results))


def report_parts(results: Sequence[Result]) -> list[str]:
    """What a page says of results: a section for each thing that was measured."""
    parts = [page.paragraph(BESIDE)] if results else []
    for section, of_section in sections(results).items():
        parts += _section(section, of_section)
    return parts


def _section(section: str, results: Sequence[Result]) -> list[str]:
    parts = [page.heading(section)]
    parts += [page.paragraph(f"{r.subject}: {r.verdict}") for r in results if r.verdict]
    parts.append(page.table(*side_by_side(results)))
    bars = _bars(results)
    if len(bars) > 1 or any(figure.interval for _, figure, _ in bars):
        parts.append(page.figure(partial(_draw, bars=bars)))
    notes = dict.fromkeys(note for result in results for note in result.notes)
    parts += [page.paragraph(note) for note in notes]
    for result in results:
        for table in result.tables:
            parts.append(page.heading(f"{result.subject}: {table.title}", 3))
            parts.append(page.table(table.header, table.rows))
    return parts


def _bars(results: Sequence[Result]) -> list[tuple[str, Figure, str]]:
    """What is drawn: who, the first figure, and its colour."""
    first = results[0].figures[0].name
    own = [(r.subject, f, "tab:blue") for r in results for f in r.figures if f.name == first]
    baselines = dict.fromkeys(figure for result in results for figure in result.baselines)
    return own + [(figure.name, figure, "tab:gray") for figure in baselines]


def _draw(axes: Any, bars: Sequence[tuple[str, Figure, str]]) -> None:
    """One line for each, from the top: the value as a dot, its interval as a bar."""
    axes.figure.set_size_inches(8, 1 + 0.35 * len(bars))
    for place, (_, figure, colour) in enumerate(bars):
        low, high = figure.interval or (figure.value, figure.value)
        axes.plot([low, high], [place, place], "|-", color=colour)
        axes.plot([figure.value], [place], "o", markersize=5, color=colour)
    axes.set_yticks(range(len(bars)), [name for name, _, _ in bars])
    axes.invert_yaxis()
    axes.set_xlabel(bars[0][1].name)
