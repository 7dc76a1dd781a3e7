"""Examples to three parts: to learn from, to decide when to stop, and to test once.

Each label is in each part in the same share (stratified). All rows of a text are in one part, so that
nothing is tested that was learned by heart.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from groundup.cleaning.duplicates import fingerprint
from groundup.cleaning.leaks import find_leaks
from groundup.data.examples import Example, LabelledConfig
from groundup.errors import InputError
from groundup.sources.source import Piece


@dataclass
class Parts:
    """Examples divided."""

    labels: list[str]
    """In the order of their ids."""
    train: list[Example] = field(default_factory=list)
    validation: list[Example] = field(default_factory=list)
    test: list[Example] = field(default_factory=list)
    left_out: list[Example] = field(default_factory=list)
    """By undersampling."""
    notes: list[str] = field(default_factory=list)
    """What the user should know of it, in sentences."""

    def ids(self, examples: Sequence[Example]) -> np.ndarray:
        """The ids of their labels."""
        order = {label: id_ for id_, label in enumerate(self.labels)}
        return np.array([order[example.label] for example in examples], np.int64)

    def texts_to_pretrain_on(self) -> list[str]:
        """The texts that a model may have read before it is tested here: of the rows to learn from and
        of those left out, without any that is nearly the same as one of the other parts, or holds one,
        or is held in one."""
        pieces = [
            Piece(example.text, True, str(i))
            for i, example in enumerate([*self.train, *self.left_out])
        ]
        held = [Piece(example.text, True, "") for example in (*self.validation, *self.test)]
        leaked = {int(leak.train) for leak in find_leaks(pieces, held)}
        return [piece.text for i, piece in enumerate(pieces) if i not in leaked]


def divide(examples: Sequence[Example], config: LabelledConfig) -> Parts:
    """Balance and split. Raises `InputError` where there is one label only, or a label has one text
    only."""
    generator = np.random.default_rng(config.split_seed)
    by_label = _by_label(examples)
    parts = Parts(list(by_label))
    if config.balance == "undersample":
        by_label = _undersampled(by_label, parts, generator)
    for rows in by_label.values():
        groups = _groups(rows)
        sizes = _sizes(len(rows), config)
        for group, part in zip(groups, _places(groups, sizes, generator), strict=True):
            (parts.train, parts.validation, parts.test)[part].extend(group)
    if repeats := sum(len(rows) - len(_groups(rows)) for rows in by_label.values()):
        parts.notes.append(
            f"{repeats:,} rows repeat the text of another: all rows of a text are in the same part"
        )
    return parts


def _by_label(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """The examples of each label, in the order of the labels: as numbers if all of them are."""
    found: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        found[example.label].append(example)
    for label, rows in found.items():
        if len(_groups(rows)) == 1:
            times = "one example" if len(rows) == 1 else f"{len(rows)} examples, all the same text"
            raise InputError(
                f"the label {label!r} has {times}: there is none to test what was learned",
                rows[0].where, "add others with this label, or remove it",
            )  # fmt: skip
    if len(found) == 1:
        label, rows = next(iter(found.items()))
        raise InputError(
            f"all {len(rows):,} rows have the label {label!r}: there is nothing to tell apart",
            rows[0].where, "add rows with other labels, or name the column with label_field",
        )  # fmt: skip
    numbers = all(label.isdecimal() for label in found)
    return {label: found[label] for label in sorted(found, key=int if numbers else None)}


def _undersampled(
    by_label: dict[str, list[Example]], parts: Parts, generator: np.random.Generator
) -> dict[str, list[Example]]:
    """As many of each label as the rarest has, of two texts at least."""
    least = min(map(len, by_label.values()))
    kept: dict[str, list[Example]] = {}
    for label, rows in by_label.items():
        first, *others = generator.permutation(len(rows)).tolist()
        text = fingerprint(rows[first].text)
        second = next(i for i in others if fingerprint(rows[i].text) != text)
        chosen = {first, second, *[i for i in others if i != second][: least - 2]}
        kept[label] = [row for i, row in enumerate(rows) if i in chosen]
        parts.left_out += [row for i, row in enumerate(rows) if i not in chosen]
    if parts.left_out:
        parts.notes.append(
            f"balanced to {least:,} rows of each label: {len(parts.left_out):,} rows are left out"
        )
    return kept


def _groups(rows: Sequence[Example]) -> list[list[Example]]:
    """The rows of each text, which may differ in case, width and white space."""
    groups: dict[int, list[Example]] = defaultdict(list)
    for row in rows:
        groups[fingerprint(row.text)].append(row)
    return list(groups.values())


class _Sizes(NamedTuple):
    train: int
    validation: int
    test: int


def _sizes(count: int, config: LabelledConfig) -> _Sizes:
    """How many of `count` rows each part gets: at least one to learn from, and one to test if any."""
    test = min(max(1, round(count * config.test_share)), count - 1) if config.test_share else 0
    validation = min(round(count * config.validation_share), count - 1 - test)
    return _Sizes(count - validation - test, validation, test)


def _places(
    groups: Sequence[Sequence[Example]], sizes: _Sizes, generator: np.random.Generator
) -> list[int]:
    """The part of each group, by chance: in proportion to the room that each part still has. The largest
    groups come first, so that the single ones fill every part to its last place."""
    left = np.array(sizes)
    places = [0] * len(groups)
    order = generator.permutation(len(groups))
    for i in sorted(order.tolist(), key=lambda i: -len(groups[i])):
        size = len(groups[i])
        room = np.where(left >= size, left, 0)
        if not room.any():
            room = left == left.max()
        places[i] = int(generator.choice(len(left), p=room / room.sum()))
        left[places[i]] -= size
    return places
