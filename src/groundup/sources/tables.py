"""Files of rows, each row a document: JSONL, JSON, CSV, TSV and Parquet."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet

from groundup.errors import InputError, nearest
from groundup.sources.encodings import read_text

# Where a row keeps its text, the first that it has; a conversation row is its parts in this order.
TEXT_FIELDS = ("text", "content", "body", "document", "SMS", "review")
PARTS = ("title", "instruction", "question", "prompt", "input", "output", "answer", "response")

Row = Mapping[str, Any]


def row_text(row: Row, text_field: str | None, where: str) -> str:
    """The text of a row: its `text_field`; else its text, under its title if there is one; else its
    question and answer, each on a line."""
    if text_field is not None:
        if text_field not in row:
            close = nearest(text_field, row)
            hint = f"did you mean {close!r}? " if close else ""
            raise InputError(
                f"this row has no field {text_field!r}", where, f"{hint}it has: {', '.join(row)}"
            )
        return str(row[text_field])
    field = next((name for name in TEXT_FIELDS if name in row), None)
    names = [name for name in PARTS if name in row] if field is None else ["title", field]
    if field is None and not names:
        raise InputError(
            "cannot tell which field of this row is its text", where,
            f"name it with --data.text_field; it has: {', '.join(row)}",
        )  # fmt: skip
    return "\n".join(str(row[name]) for name in names if row.get(name))


def jsonl_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """(line number, row) for each line that is not empty."""
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            yield number, _object(line, f"{path}:{number}")


def json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """(number, row) of a JSON list, or of one object."""
    try:
        content = json.loads("".join(read_text(path)))
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}", str(path), "mend the file") from None
    for number, row in enumerate(content if isinstance(content, list) else [content], start=1):
        if not isinstance(row, dict):
            raise InputError(
                f"row {number} is not an object", str(path), 'rows look like {"text": "…"}'
            )
        yield number, row


def csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """(line number, row) of a CSV or TSV file whose first line names the columns."""
    csv.field_size_limit(1 << 30)
    is_tsv = path.suffix.lower() == ".tsv"
    # In tab-separated files a quotation mark is usually just that.
    options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if is_tsv else {}
    reader = csv.DictReader(_lines(path), restkey="", **options)
    try:
        for row in reader:
            yield reader.line_num, {name: value for name, value in row.items() if name and value}
    except csv.Error as error:
        where = f"{path}:{reader.line_num}"
        raise InputError(f"not valid CSV: {error}", where, "mend this line") from None


def parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """(row number, row), read batch by batch."""
    try:
        number = 0
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        raise InputError(f"not a valid Parquet file: {error}", str(path), "get it again") from None


ROW_READERS = {
    ".jsonl": jsonl_rows,
    ".ndjson": jsonl_rows,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": parquet_rows,
}


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file, each with its line end, whatever its encoding."""
    held = ""
    for chunk in read_text(path):
        *lines, held = (held + chunk).split("\n")
        yield from (line + "\n" for line in lines)
    if held:
        yield held


def _object(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        what = f"not valid JSON: {error}: {line[:80]!r}"
        raise InputError(what, where, "mend or remove this line") from None
    if not isinstance(row, dict):
        raise InputError(f"not a JSON object: {line[:80]!r}", where, 'rows look like {"text": "…"}')
    return row
