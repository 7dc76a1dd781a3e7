"""What an evaluation came to, whatever was measured: figures with intervals, what to compare them with, a
sentence, and cases to look at. Reports and tables are made of these."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from groundup.evaluate.intervals import Interval
from groundup.language import shown
from groundup.page import markdown_table


class Figure(NamedTuple):
    """A number with its 95 % interval, if it has one."""

    name: str
    value: float
    interval: Interval | None = None
    digits: int = 3

    def __str__(self) -> str:
        value = f"{self.value:,.{self.digits}f}"
        if self.interval is None:
            return value
        low, high = (f"{end:,.{self.digits}f}" for end in self.interval)
        return f"{value} [{low}, {high}]"


class Table(NamedTuple):
    """Cases to look at, or counts, under a title."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Result:
    """One measurement of one subject, which is a model mostly."""

    section: str
    """What was measured, on what ("Exam: law-exam.json"): results of one section stand side by side."""
    subject: str
    figures: list[Figure]
    """The one that counts is the first."""
    baselines: list[Figure] = field(default_factory=list)
    """What the first figure is to be seen beside: its name is who has it ("majority")."""
    verdict: str = ""
    """What it comes to, in one plain sentence."""
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a reader has to know: how it was measured, and what was left out."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """What one kind of measuring came to: figures by the names that scripts read, and the same as
    results, of which tables and reports are made."""

    figures: dict[str, Any]
    results: list[Result]


def result_from_json(content: Mapping[str, Any]) -> Result:
    """What `to_json` gave, as a result again."""
    figures = {
        name: [_figure(*values) for values in content[name]] for name in ("figures", "baselines")
    }
    return Result(**{**content, **figures, "tables": [Table(*t) for t in content["tables"]]})


def _figure(name: str, value: float | int, interval: Sequence[float] | None, digits: int) -> Figure:
    return Figure(name, float(value), None if interval is None else Interval(*interval), digits)


def sections(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Results by section, in the order in which they came."""
    by_section: dict[str, list[Result]] = {}
    for result in results:
        by_section.setdefault(result.section, []).append(result)
    return by_section


def side_by_side(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of one section: subjects, and then the baselines that they have
    in common or alone, each once."""
    names = list(dict.fromkeys(figure.name for result in results for figure in result.figures))
    rows = [[result.subject, *_cells(result, names)] for result in results]
    for baseline in dict.fromkeys(figure for result in results for figure in result.baselines):
        rows.append([baseline.name, str(baseline), *[""] * (len(names) - 1)])
    return ["", *names], rows


def markdown(results: Iterable[Result]) -> str:
    """Each section as a table in Markdown, with its verdicts and notes."""
    parts = []
    for section, of_section in sections(results).items():
        lines = [
            f"{result.subject}: {shown(result.verdict)}" for result in of_section if result.verdict
        ]
        notes = list(dict.fromkeys(note for result in of_section for note in result.notes))
        texts = [
            f"## {shown(section)}",
            _table(of_section),
            *lines,
            *map(shown, notes),
        ]
        parts.append("\n\n".join(texts))
    return "\n\n".join(parts) + "\n"


def _table(results: Sequence[Result]) -> str:
    header, rows = side_by_side(results)
    told = [[shown(name), *cells] for name, *cells in rows]
    return markdown_table([*map(shown, header)], told).rstrip()


def _cells(result: Result, names: Sequence[str]) -> list[str]:
    by_name = {figure.name: str(figure) for figure in result.figures}
    return [by_name.get(name, "") for name in names]
