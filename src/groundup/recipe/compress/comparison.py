"""What a comparison of variants has found: rows, a table, a page on which what is dominated is grey."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from groundup import page
from groundup.compress.pareto import dominated_by
from groundup.evaluate.intervals import Interval
from groundup.evaluate.results import Figure
from groundup.language import N_
from groundup.recipe.compress.speed import Speed

GREY, BLUE = "#aaa", "tab:blue"
ABOUT = (
    "A variant is dominated, and grey, when another is at least as good in all that was measured "
    "(quality, bytes, tokens per second) and better in one of them: it is never the one to take. Between "
    "the others it is a matter of what you need."
)
SPEEDS = (
    "Tokens per second are the median of rounds in which the variants took turns, with the slowest and the "
    "fastest in brackets: a difference within them says nothing. Bytes are those of the files of weights."
)


@dataclass(frozen=True)
class Row:
    """One variant, as it was measured. What was not measured is None."""

    name: str
    model: str
    bits_per_byte: float | None
    bits_per_byte_interval: Interval | None
    accuracy: float | None
    """In the exam, or of the labels."""
    accuracy_interval: Interval | None
    bytes: int
    """Of the files of weights."""
    speed: Speed
    dominated_by: tuple[str, ...] = ()

    @property
    def qualities(self) -> dict[str, Figure]:
        """What was measured of its answers, by its name on a page."""
        given = (
            (BITS, self.bits_per_byte, self.bits_per_byte_interval, 4),
            (ACCURACY, self.accuracy, self.accuracy_interval, 3),
        )
        return {
            name: Figure(name, value, interval, digits)
            for name, value, interval, digits in given
            if value is not None
        }

    @property
    def point(self) -> tuple[float, ...]:
        """What is compared: more is better. A quality that is no number is worse than any."""
        qualities = [
            -figure.value if name == BITS else figure.value
            for name, figure in self.qualities.items()
        ]
        numbers = [float("-inf") if math.isnan(value) else value for value in qualities]
        return (*numbers, -float(self.bytes), self.speed.median)

    def to_json(self) -> dict[str, Any]:
        """By the names that scripts read."""
        return {
            "name": self.name, "model": self.model, "bits_per_byte": self.bits_per_byte,
            "bits_per_byte_interval": self.bits_per_byte_interval, "accuracy": self.accuracy,
            "accuracy_interval": self.accuracy_interval, "bytes": self.bytes,
            "tokens_per_second": self.speed.median, "tokens_per_second_rounds": self.speed.rounds,
            "dominated_by": self.dominated_by,
        }  # fmt: skip


BITS, ACCURACY = N_("bits per byte"), N_("accuracy")


def with_dominance(rows: Sequence[Row]) -> list[Row]:
    """The same rows, each with the names of those that dominate it."""
    found = dominated_by([row.point for row in rows])
    return [
        replace(row, dominated_by=tuple(rows[place].name for place in places))
        for row, places in zip(rows, found, strict=True)
    ]


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and cells."""
    names = list(rows[0].qualities)
    header = [N_("variant"), *names, "MB", "tokens/s", N_("dominated by")]
    return header, [
        [
            row.name,
            *(str(row.qualities[name]) for name in names),
            f"{row.bytes / 1e6:,.2f}",
            str(row.speed),
            ", ".join(row.dominated_by),
        ]
        for row in rows
    ]


def report_page(rows: Sequence[Row]) -> str:
    """The comparison as an HTML page."""
    places = [place for place, row in enumerate(rows, start=2) if row.dominated_by]
    grey = "".join(f"tr:nth-child({place}) {{ color: {GREY} }}\n" for place in places)
    drawn = [
        page.figure(partial(draw, rows=rows, quality=quality, by_speed=by_speed))
        for quality in rows[0].qualities
        for by_speed in (False, True)
    ]
    parts = [page.table(*table(rows)), page.paragraph(ABOUT), *drawn, page.paragraph(SPEEDS)]
    return page.page("Variants of a model", parts, grey)


def draw(axes: Any, rows: Sequence[Row], quality: str, by_speed: bool) -> None:
    """A quality against tokens per second, or against megabytes: a dot with its name for each."""
    for row in rows:
        across = row.speed.median if by_speed else row.bytes / 1e6
        colour, up = GREY if row.dominated_by else BLUE, row.qualities[quality].value
        axes.plot([across], [up], "o", color=colour)
        axes.annotate(
            row.name, (across, up), xytext=(5, 5), textcoords="offset points", color=colour
        )
    axes.margins(0.15)
    axes.set_xlabel("tokens per second: more is better" if by_speed else "MB: fewer is better")
    axes.set_ylabel(f"{quality}: {'fewer' if quality == BITS else 'more'} is better")
