"""How sure is a figure? Intervals of shares and of means, and what two models differ by.

A figure without one says nothing on a hundred questions: 0.55 is then anything from 0.45 to 0.64.

scipy.stats takes half a second to import, so that only who needs it waits for it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

CONFIDENCE = 0.95
RESAMPLES = 2000
# Resampled indices held at a time: some ten megabytes.
MOST_INDICES = 1 << 20

Samples = Float[np.ndarray, "items *figures"] | Sequence[float]


class Interval(NamedTuple):
    """From `low` to `high`: where the true value lies, with the confidence asked for."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{self.low:.3f}, {self.high:.3f}]"


def wilson(right: int, count: int, confidence: float = CONFIDENCE) -> Interval:
    """The interval of a share, of which `right` of `count` were seen (Wilson 1927). Good for few
    cases and for shares near 0 and 1 too, where mean ± 1.96 standard errors leaves the range."""
    from scipy.stats import binomtest

    low, high = binomtest(right, count).proportion_ci(confidence, method="wilson")
    return Interval(float(low), float(high))


def chance_of_as_many(right: int, chances: Sequence[float]) -> float:
    """The p-value against guessing: how often does one who is right on question i with chance
    `chances[i]` get `right` or more? Exact: the binomial distribution where all chances are equal,
    else the Poisson-binomial one."""
    from scipy.stats import binomtest, poisson_binom

    if right == 0:
        return 1.0
    if len(set(chances)) == 1:
        return float(binomtest(right, len(chances), chances[0], alternative="greater").pvalue)
    # Sums of products: rounding may give a hair above 1, or below 0.
    return min(1.0, max(0.0, float(poisson_binom.sf(right - 1, chances))))


def bootstrap(
    samples: Samples,
    statistic: Callable[[Float[np.ndarray, "... figures"]], np.ndarray] | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """The interval of a mean of independent `samples`, by drawing as many of them anew, `RESAMPLES`
    times (Efron 1979; percentiles). A sample may be several figures: the mean of each is given to
    `statistic`, which makes one number of them (a ratio of two sums, say).

    One sample alone gives no spread: both ends are its value.
    """
    figures = np.asarray(samples, np.float64).reshape(len(samples), -1)
    of_means = statistic or (lambda means: means[..., 0])
    drawn = of_means(np.concatenate(list(_drawn_means(figures, seed))))
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def _drawn_means(figures: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Means of `RESAMPLES` resamples, some rows of (resamples, figures) at a time."""
    generator = np.random.default_rng(seed)
    at_once = max(1, MOST_INDICES // len(figures))
    for start in range(0, RESAMPLES, at_once):
        size = (min(at_once, RESAMPLES - start), len(figures))
        yield figures[generator.integers(len(figures), size=size)].mean(axis=1)


class Difference(NamedTuple):
    """How much the second of two is above the first, on the same items."""

    mean: float
    interval: Interval

    @property
    def is_clear(self) -> bool:
        """True if the interval does not hold zero."""
        return not self.interval.low <= 0 <= self.interval.high


def paired_difference(
    before: Samples, after: Samples, confidence: float = CONFIDENCE, seed: int = 0
) -> Difference:
    """The mean of `after` − `before`, both measured on the same items: what the items have in common
    (some are hard for everyone) drops out, so the interval is much narrower than those of the two."""
    differences = np.subtract(after, before, dtype=np.float64)
    return Difference(float(differences.mean()), bootstrap(differences, None, confidence, seed))


def independent_difference(
    before: Samples, after: Samples, confidence: float = CONFIDENCE, seed: int = 0
) -> Difference:
    """The mean of `after` less that of `before`, measured on other items: both are drawn anew."""
    means = [
        np.concatenate(list(_drawn_means(np.asarray(samples, np.float64).reshape(-1, 1), seed + i)))
        for i, samples in enumerate((before, after))
    ]
    drawn = (means[1] - means[0])[:, 0]
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    mean = float(np.mean(after) - np.mean(before))
    return Difference(mean, Interval(float(low), float(high)))
