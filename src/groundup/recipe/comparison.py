"""What a comparison of recipes has found: intervals over seeds, a table, a page.

Each recipe is seen beside the one before it. The difference is taken seed by seed (the same data in the
same order), so that what one seed's luck does to both falls out of it.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Any

from groundup import page
from groundup.language import N_

# Student's t: 95 % of differences lie within so many standard errors, by degrees of freedom from 1.
# Beyond 30 the last serves, which makes the interval a little too wide.
T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
    2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048,
    2.045, 2.042,
)  # fmt: skip
HEADER = (
    N_("recipe"), N_("what is changed"), N_("bits per byte"), N_("what it bought"), N_("verdict"),
    N_("parameters"), "tokens/s", N_("training memory"), N_("key-value cache"),
)  # fmt: skip
BETTER, WORSE = N_("better"), N_("worse")
UNSHOWN, ONE_SEED = N_("no difference shown"), N_("one seed cannot tell")


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, and how far from it the true one may lie, with 95 % confidence (Student
    1908); None where there is one seed only."""

    mean: float
    half: float | None

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + ("" if self.half is None else f" ± {self.half:.3f}")


@dataclass(frozen=True)
class Variant:
    """One recipe of a comparison."""

    name: str
    changed: dict[str, list[Any]]
    """Settings that differ from the recipe before: what they were, what they are."""
    by_seed: list[float]
    """Bits per byte of the validation text."""
    bits_per_byte: Interval
    bought: Interval | None
    """Bits per byte less those of the recipe before; below zero is better. None for the first."""
    verdict: str | None
    parameters: int
    tokens: int
    """Read in training."""
    tokens_per_second: float
    """Of training: the median of the rounds."""
    memory_bytes: int
    """What training keeps: weights, gradients, averages, activations."""
    key_value_cache_bytes: int
    """Of one text as long as the context."""


def interval(values: Sequence[float]) -> Interval:
    """The mean with its 95 % interval, t · s / √n.

    >>> str(interval([1.0, 2.0, 3.0]))
    '2.000 ± 2.484'
    """
    mean, count = statistics.fmean(values), len(values)
    if count == 1:
        return Interval(mean, None)
    t = T_95[min(count - 1, len(T_95)) - 1]
    return Interval(mean, t * statistics.stdev(values) / sqrt(count))


def difference(before: Sequence[float], after: Sequence[float]) -> Interval:
    """The mean of `after` − `before`, paired by seed."""
    return interval([b - a for a, b in zip(before, after, strict=True)])


def verdict(bought: Interval) -> str:
    """What an interval of differences says in words."""
    if bought.half is None:
        return ONE_SEED
    if abs(bought.mean) <= bought.half:
        return UNSHOWN
    return BETTER if bought.mean < 0 else WORSE


def rows(variants: Sequence[Variant]) -> list[list[str]]:
    """The cells of the table, under `HEADER`."""
    return [
        [
            variant.name,
            ", ".join(_change(name, *values) for name, values in variant.changed.items()),
            str(variant.bits_per_byte),
            _signed(variant.bought) if variant.bought else "",
            variant.verdict or "",
            f"{variant.parameters:,}",
            f"{variant.tokens_per_second:,.0f}",
            f"{variant.memory_bytes / 1e6:.1f} MB",
            f"{variant.key_value_cache_bytes / 1e3:.0f} kB",
        ]
        for variant in variants
    ]


def markdown(variants: Sequence[Variant], words: dict[str, str] | None = None) -> str:
    """The table in Markdown; `words` puts its header and its verdicts into another language."""
    known = words or {}
    header, *lines = [
        [known.get(cell) or cell for cell in line] for line in [HEADER, *rows(variants)]
    ]
    return page.markdown_table(header, lines)


def draw(axes: Any, variants: Sequence[Variant]) -> None:
    """Bits per byte from the first recipe at the top to the last: seeds as dots, means with their
    intervals as bars."""
    axes.figure.set_size_inches(8, 1 + 0.3 * len(variants))
    places = range(len(variants))
    means = [variant.bits_per_byte.mean for variant in variants]
    halves = [variant.bits_per_byte.half or 0.0 for variant in variants]
    for place, variant in zip(places, variants, strict=True):
        axes.plot(variant.by_seed, [place] * len(variant.by_seed), ".", color="tab:gray")
    axes.errorbar(means, places, xerr=halves, fmt="o", markersize=4, capsize=3, color="tab:blue")
    axes.set_yticks(places, [variant.name for variant in variants])
    axes.invert_yaxis()
    axes.set_xlabel("bits per byte of the validation text: fewer is better")


def report_page(title: str, variants: Sequence[Variant]) -> str:
    """The comparison as an HTML page."""
    seeds = len(variants[0].by_seed)
    return page.page(
        title,
        [
            page.paragraph(
                f"Each recipe was trained {seeds} times, with another seed for the weights and the "
                "order of the text; ± is the 95 % interval of the mean. What a change bought is the "
                "difference to the recipe before, seed by seed: below zero is better. Where its "
                "interval contains zero, no difference is shown. Of twenty changes that do "
                "nothing, one is expected to look like something."
            ),
            page.figure(partial(draw, variants=variants)),
            page.table(HEADER, rows(variants)),
            page.paragraph(
                "Speed is the median of rounds in which the recipes took turns, after all trainings. "
                "Training memory is what a step keeps: weights, gradients, the optimiser's averages, "
                "activations. The key-value cache is that of one text as long as the context."
            ),
        ],
    )


def _change(name: str, before: Any, after: Any) -> str:
    """A changed setting by its own name: "n_layers 7 → 4"."""
    return f"{name.rpartition('.')[2]} {_plain(before)} → {_plain(after)}"


def _plain(value: Any) -> str:
    """A value as TOML has it, but for the quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _signed(bought: Interval) -> str:
    return f"{bought.mean:+.3f}{str(bought)[len(f'{bought.mean:.3f}') :]}".replace("-", "−")
