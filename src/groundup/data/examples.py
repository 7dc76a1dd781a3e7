"""Texts with labels, from the rows of files: which column is which, and what is no example."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from groundup.cleaning.duplicates import fingerprint
from groundup.errors import nearest
from groundup.settings import Seed, Settings
from groundup.sources.rows import BadRows, Row, read_rows

# Names of columns, however they are written, the first that a row has.
LABEL_FIELDS = (
    "label", "class", "category", "target", "sentiment", "标签", "类别", "分类", "情感",
)  # fmt: skip
TEXT_FIELDS = (
    "text", "sms", "sentence", "content", "message", "review", "comment", "body", "document",
    "文本", "内容", "正文", "句子", "评论", "短信",
)  # fmt: skip
ROWS = 'rows have a label and a text, as {"label": "spam", "text": "…"}; or name the columns with '
ROWS += "label_field and text_field"


class LabelledConfig(Settings):
    """Which columns of rows are label and text, and how rows are divided."""

    label_field: str | None = None
    """The column of the label. Default: the one that is called so (label, class, category, 标签 …)."""
    text_field: str | None = None
    """The column of the text. Default: the one that is called so (text, SMS, sentence, 文本 …)."""
    balance: Literal["none", "undersample", "weights"] = "none"
    """Where labels are not equally frequent: leave it so, leave out rows until they are, or let the
    rarer ones count more in the loss."""
    validation_share: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the rows of each label that decides when to stop."""
    test_share: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of the rows of each label that is looked at only when all is over."""
    split_seed: Seed = 0
    """Decides which rows are left out by `undersample` and which part each one is in."""

    @model_validator(mode="after")
    def _something_is_left(self) -> "LabelledConfig":
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to learn from")
        return self


@dataclass(frozen=True, slots=True)
class Example:
    """A text, its label, and where it stands."""

    text: str
    label: str
    where: str


def read_examples(
    paths: Sequence[str | Path], config: LabelledConfig, bad: BadRows
) -> list[Example]:
    """The examples in TSV, CSV, JSONL, JSON and Parquet files, in order. A table of two columns may
    have no header.

    Rows that are no examples, and those that give a text of a row before them another label, go to
    `bad`; raises `InputError` if there are no others."""
    files = groupby(read_rows(paths, bad), _file)
    rows = (row for _, rows in files for row in _headed(list(rows), config))
    examples = [example for row in rows if (example := _example(row, config, bad))]
    consistent = _without_contradictions(examples, bad)
    bad.refuse_if_all(len(consistent), ROWS)
    return consistent


def _file(row: Row) -> str:
    return re.sub(r"(:\d+|, row [\d,]+)$", "", row.where)


def _headed(rows: list[Row], config: LabelledConfig) -> list[Row]:
    """The rows of a file under names that are known. Where the first line of two columns names none,
    but is an example itself, as one of its fields is a label that comes again, it is a row too."""
    names = list(rows[0].values)
    known = config.label_field or config.text_field or _called(LABEL_FIELDS, names)
    if known or len(names) != 2:
        return rows
    values = {name: {str(row.values.get(name)) for row in rows} for name in names}
    again = sorted((name for name in names if name in values[name]), key=lambda n: len(values[n]))
    if not again:
        return rows
    label, text = again[0], names[1 - names.index(again[0])]
    first = Row({label: label, text: text}, f"{_file(rows[0])}:1")
    return [
        Row({"label": row.values[label], "text": row.values[text]}, row.where)
        for row in (first, *rows)
    ]


def _example(row: Row, config: LabelledConfig, bad: BadRows) -> Example | None:
    """The example in a row; None if it has none, which is noted."""
    found: dict[str, str] = {}
    for kind, named, usual in (
        ("label", config.label_field, LABEL_FIELDS), ("text", config.text_field, TEXT_FIELDS),
    ):  # fmt: skip
        field = _called((named.casefold(),) if named else usual, row.values)
        if field is None:
            bad.add(row.where, _no_field(kind, named, row.values))
            return None
        value = row.values[field]
        if isinstance(value, dict | list):
            bad.add(row.where, f"the field {field!r} is no {kind}: {str(value)[:60]}")
            return None
        found[kind] = "" if value is None else str(value)
        if not found[kind].strip():
            bad.add(row.where, f"the field {field!r} is empty")
            return None
    return Example(found["text"], found["label"].strip(), row.where)


def _called(usual: Iterable[str], names: Collection[str]) -> str | None:
    """The first of the `usual` names that is among `names`, as it is written there."""
    written = {str(name).strip().casefold(): name for name in names}
    return next((written[name] for name in usual if name in written), None)


def _no_field(kind: str, named: str | None, names: Collection[str]) -> str:
    has = f"it has {', '.join(map(repr, names))}"[:120]
    if named is None:
        return f"no field is known to be the {kind}: {has}"
    close = nearest(named, names)
    return f"there is no field {named!r}: " + (f"did you mean {close!r}?" if close else has)


def _without_contradictions(examples: Iterable[Example], bad: BadRows) -> list[Example]:
    """All but those whose text has another label in a row before."""
    first: dict[int, Example] = {}
    kept: list[Example] = []
    for example in examples:
        before = first.setdefault(fingerprint(example.text), example)
        if before.label == example.label:
            kept.append(example)
        else:
            bad.add(
                example.where,
                f"the label is {example.label!r}, but for the same text {before.label!r} at "
                f"{before.where}",
            )
    return kept
