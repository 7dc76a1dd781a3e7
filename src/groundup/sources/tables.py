"""Files of rows: JSONL, JSON, CSV, TSV and Parquet. A row is a document, or fields to choose from.

Every reader yields (line or row number, row), of each row the columns that are chosen; a bad row is
reported and passed over.
"""

import csv
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import pyarrow
import pyarrow.parquet as parquet

from groundup.errors import nearest
from groundup.sources.encodings import read_text
from groundup.sources.problems import Report, UnreadableError
from groundup.sources.source import Source, open_seekable

# Where a row keeps its text, the first that it has; a conversation row is its parts in this order.
TEXT_FIELDS = ("text", "content", "body", "document", "SMS", "review")
PARTS = ("title", "instruction", "question", "prompt", "input", "output", "answer", "response")

Values = Mapping[str, Any]
Rows = Iterator[tuple[int, Values]]
Choose = Callable[[Collection[str], int | None], Collection[str]]
"""Which of a row's columns are wanted, given all of them and its number; None for a whole table."""


def row_texts(source: Source, text_field: str | None, report: Report) -> Iterator[tuple[int, str]]:
    """The text of each row of a file, with its number; see `text_columns`."""

    def choose(columns: Collection[str], line: int | None) -> list[str]:
        return text_columns(columns, text_field, source, line)

    for number, row in ROW_READERS[source.suffix](source, choose, report):
        yield number, "\n".join(str(value) for value in row.values() if value not in (None, ""))


def jsonl_rows(source: Source, choose: Choose, report: Report) -> Rows:
    """The row of each line that is not empty."""
    for number, line in enumerate(_lines(source), start=1):
        if not line.strip():
            continue
        try:
            row = _object(line, source, number)
            chosen = {name: row[name] for name in choose(row, number)}
        except UnreadableError as error:
            report(error.problem)
            continue
        yield number, chosen


def json_rows(source: Source, choose: Choose, report: Report) -> Rows:
    """Each row of a JSON list, or one object."""
    content = _json("".join(read_text(source)), source)
    for number, row in enumerate(content if isinstance(content, list) else [content], start=1):
        try:
            if not isinstance(row, dict):
                raise source.unreadable(
                    "bad_json", f"row {number} is not an object: {str(row)[:80]!r}", _ROWS, number
                )
            chosen = {name: row[name] for name in choose(row, number)}
        except UnreadableError as error:
            report(error.problem)
            continue
        yield number, chosen


def csv_rows(source: Source, choose: Choose, report: Report) -> Rows:
    """Each row of a CSV or TSV file, whose first line names the columns."""
    csv.field_size_limit(1 << 30)
    # In tab-separated files a quotation mark is usually just that.
    is_tsv = source.suffix == ".tsv"
    options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if is_tsv else {}
    reader = csv.DictReader(_lines(source), **options)
    try:
        if reader.fieldnames is None:
            return
        columns = choose(reader.fieldnames, None)
        for row in reader:
            if extra := row.get(None):  # where DictReader puts what has no column
                what = f"this row has more fields than the first line names: {extra}"[:120]
                report(source.problem("bad_csv", what, "put quotes round commas", reader.line_num))
                continue
            yield reader.line_num, {name: row[name] for name in columns}
    except csv.Error as error:
        raise source.unreadable(
            "bad_csv", f"not valid CSV: {error}", "mend this line", reader.line_num
        ) from None


def parquet_rows(source: Source, choose: Choose, report: Report) -> Rows:
    """Each row, row group by row group; only the chosen columns are read."""
    number = 0
    try:
        with open_seekable(source) as stream, parquet.ParquetFile(stream) as file:
            columns = list(choose(file.schema_arrow.names, None))
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {name: row[name] for name in columns}
    except pyarrow.ArrowException as error:
        raise source.unreadable(
            "broken_file", f"not a valid Parquet file: {error}", "get it again"
        ) from None


ROW_READERS: dict[str, Callable[[Source, Choose, Report], Rows]] = {
    ".jsonl": jsonl_rows,
    ".ndjson": jsonl_rows,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": parquet_rows,
}


def text_columns(
    columns: Collection[str], text_field: str | None, source: Source, line: int | None = None
) -> list[str]:
    """Which columns of a row are its text: its `text_field`; else its text, under its title if there
    is one; else its question and answer. Raises `UnreadableError`, which lists the columns."""
    if text_field is not None:
        if text_field in columns:
            return [text_field]
        close = nearest(text_field, columns)
        what = f"there is no field {text_field!r}"
        hint = f"did you mean {close!r}? " if close else ""
    else:
        field = next((name for name in TEXT_FIELDS if name in columns), None)
        names = [name for name in (PARTS if field is None else ("title", field)) if name in columns]
        if names:
            return names
        what = "cannot tell which field of a row is its text"
        hint = "name it with text_field (--text-field); "
    fix = f"{hint}it has: {', '.join(columns)}"
    raise source.unreadable("no_text_field", what, fix, line)


def _lines(source: Source) -> Iterator[str]:
    """The lines of a file, each with its line end, whatever its encoding."""
    held = ""
    for chunk in read_text(source):
        *lines, held = (held + chunk).split("\n")
        yield from (line + "\n" for line in lines)
    if held:
        yield held


_ROWS = 'rows look like {"text": "…"}'


def _object(line: str, source: Source, number: int) -> Values:
    row = _json(line, source, number, is_cut=not line.endswith("\n"))
    if not isinstance(row, dict):
        raise source.unreadable("bad_json", f"not a JSON object: {line[:80]!r}", _ROWS, number)
    return row


def _json(text: str, source: Source, line: int | None = None, is_cut: bool = False) -> Any:
    """A JSON value. Half a row at the very end of a file (`is_cut`) is more than a bad row: the
    rest of the file is missing."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if line is None:
            line = getattr(error, "lineno", None)
        what = f"not valid JSON: {error}: {text[:80]!r}"
        if is_cut:
            what = f"the file is cut in its last line: {what}"
            raise source.unreadable("cut_file", what, "get the file again", line) from None
        raise source.unreadable("bad_json", what, "mend or remove this line", line) from None
