"""Rows with all their fields, for what is tuned on them, and the list of those that are no use.

`read_rows` reads what `read_pieces` reads, in the same formats and packings; what a row is good for
is said by whoever asked for it, and what is wrong with one is said to `BadRows`.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.errors import InputError
from groundup.language import N_
from groundup.sources.problems import Problem, Report, refuse
from groundup.sources.read import files, reporting, without_surrogates
from groundup.sources.source import Source
from groundup.sources.tables import ROW_READERS

SHOWN = 5
# Kinds of file in which a row is no line.
NUMBERED_KINDS = {".json", ".parquet"}


@dataclass(frozen=True, slots=True)
class Row:
    """The fields of one row. `where` is "file:line", or "file, row 7" where rows are no lines."""

    values: dict[str, Any]
    where: str


class BadRows:
    """The rows that are left out, and why: each a place and what is wrong there."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self.problems)

    def add(self, where: str, what: str) -> None:
        self.problems.append((where, what))

    def report(self, problem: Problem) -> None:
        """Note what could not be read at all."""
        self.add(problem.where, problem.text)

    def summary(self, good: int) -> str:
        """ "12 of 1,100 rows left out: rows.jsonl:7: the field 'output' is empty; …", beside the
        number of `good` rows."""
        return f"{len(self):,} of {len(self) + good:,} rows left out: {self._listed()}"

    def refuse_if_all(self, good: int, fix: str) -> None:
        """Raises `InputError`, with the first problems, if there is no good row beside them; `fix`
        says what rows should be like."""
        if good:
            return
        if not self.problems:
            raise InputError("there are no rows to learn from", None, fix)
        first, _ = self.problems[0]
        raise InputError(f"none of {len(self):,} rows is of use: {self._listed()}", first, fix)

    def _listed(self) -> str:
        shown = "; ".join(f"{where}: {what}" for where, what in self.problems[:SHOWN])
        more = len(self) - SHOWN
        return f"{shown}; {N_(f'and {more:,} more')}" if more > 0 else shown


def read_rows(paths: Sequence[str | Path], bad: BadRows | None = None) -> Iterator[Row]:
    """The rows of JSONL, JSON (an array of objects), CSV, TSV and Parquet files, in order.

    `paths` are what `read_pieces` takes: files, folders, archives, `hf:` datasets, URLs. What cannot
    be read is noted in `bad`, and reading goes on; without it, the first is raised as an `InputError`.
    """
    report = bad.report if bad is not None else refuse
    for file in files(paths, report):
        yield from reporting(_file_rows(file, report), file, report)


def _file_rows(file: Source, report: Report) -> Iterator[Row]:
    if file.suffix not in ROW_READERS:
        kinds = ", ".join(ROW_READERS)
        raise file.unreadable("no_rows", "this is no file of rows", f"give one of {kinds}")
    for number, values in ROW_READERS[file.suffix](file, _all, report):
        cleaned = {name: _whole_characters(value) for name, value in values.items()}
        yield Row(cleaned, _place(file, number))


def _all(columns: Collection[str], line: int | None) -> Collection[str]:
    return columns


def _place(file: Source, number: int) -> str:
    numbered = file.suffix in NUMBERED_KINDS
    return f"{file.where}, row {number:,}" if numbered else f"{file.where}:{number}"


def _whole_characters(value: Any) -> Any:
    """A value of JSON with U+FFFD for each half of a character."""
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, dict):
        return {name: _whole_characters(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole_characters(inner) for inner in value]
    return value
