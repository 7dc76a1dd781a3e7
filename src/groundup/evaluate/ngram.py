"""The baseline that knows no more than which bytes follow which: an n-gram model of bytes.

Interpolated Kneser-Ney smoothing (Kneser and Ney 1995; Chen and Goodman 1999, section 2.7): each order
keeps a discount of what it has seen for the next lower one, and lower orders count in how many
*different* places something was seen, not how often. Bytes need no tokenizer, fit eight at a time
into an integer, and so all counting is sorting.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8, UInt64

from groundup.evaluate.likelihood import Likelihood

ORDER = 8
# Some hundred megabytes while they are sorted; more text changes little.
MOST_BYTES = 1 << 24
BYTE = np.uint64(8)


class NGram:
    """Learned from texts, up to `MOST_BYTES` of them.

    >>> model = NGram(["to be or not to be"])
    >>> be, xy = model.log_likelihoods([("to ", "be"), ("to ", "xy")])
    >>> be.nats < xy.nats
    True
    """

    def __init__(self, texts: Iterable[str], order: int = ORDER):
        """`order` is how many bytes are looked at, the last one included: at most 8."""
        self.order = order
        # A text begins after line ends.
        self.start = b"\n" * (order - 1)
        learned = np.frombuffer(b"".join(self._begun(texts)), np.uint8)
        self.bytes = len(learned)
        grams, counts = np.unique(_packed(learned, order), return_counts=True)
        self.levels = [_Level(grams, counts)]
        for length in range(order - 1, 0, -1):
            grams, counts = np.unique(grams & _mask(length), return_counts=True)
            self.levels.insert(0, _Level(grams, counts))

    def log_likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[Likelihood]:
        """As `Scorer` says; its tokens are bytes. What is likeliest is not looked for: `is_greedy` is
        always False."""
        texts = [text.encode() for _, text in pairs]
        rows = [
            self._before(context) + text for (context, _), text in zip(pairs, texts, strict=True)
        ]
        # All in one: of each row, the bytes of its text are each the last of a gram in it.
        nats = -np.log(self.probabilities(np.frombuffer(b"".join(rows), np.uint8)))
        starts = np.cumsum([0, *map(len, rows)])
        return [
            Likelihood(float(nats[start : start + len(text)].sum()), len(text), False)
            for start, text in zip(starts[:-1], texts, strict=True)
        ]

    def _before(self, context: str) -> bytes:
        """As much of a context as is looked at."""
        seen = self.order - 1
        return (self.start + context.encode())[-seen:] if seen else b""

    def probabilities(self, data: UInt8[np.ndarray, " bytes"]) -> Float[np.ndarray, " scored"]:
        """p of each byte after the `order` − 1 before it."""
        codes = _packed(data, self.order)
        probability = np.full(len(codes), 1 / 256)
        for length, level in enumerate(self.levels, start=1):
            probability = level.refined(codes & _mask(length), probability)
        return probability

    def _begun(self, texts: Iterable[str]) -> Iterator[bytes]:
        left = MOST_BYTES
        for text in texts:
            if left <= 0:
                return
            encoded = text.encode()[:left]
            left -= len(encoded)
            yield self.start + encoded


class _Level:
    """The grams of one length, sorted, and their counts; and the same of what they begin with."""

    def __init__(self, grams: UInt64[np.ndarray, " grams"], counts: Int[np.ndarray, " grams"]):
        self.grams, self.counts = grams, counts
        contexts = grams >> BYTE
        starts = np.flatnonzero(np.diff(contexts, prepend=~contexts[:1]))
        self.contexts = contexts[starts]
        self.totals = np.add.reduceat(counts, starts)
        self.followers = np.diff(starts, append=len(contexts))
        once, twice = (int((counts == n).sum()) for n in (1, 2))
        # Ney, Essen and Kneser 1994; kept off 0 and 1, which tiny texts would give.
        self.discount = float(np.clip(once / max(1, once + 2 * twice), 0.1, 0.9))

    def refined(
        self, grams: UInt64[np.ndarray, " scored"], lower: Float[np.ndarray, " scored"]
    ) -> Float[np.ndarray, " scored"]:
        """p of the last byte of each gram after the others, given it after all of them but one."""
        count = _looked_up(grams, self.grams, self.counts)
        total = _looked_up(grams >> BYTE, self.contexts, self.totals)
        followers = _looked_up(grams >> BYTE, self.contexts, self.followers)
        kept = np.maximum(count - self.discount, 0) + self.discount * followers * lower
        return np.where(total > 0, kept / np.maximum(total, 1), lower)


def _packed(data: UInt8[np.ndarray, " bytes"], order: int) -> UInt64[np.ndarray, " grams"]:
    """Every `order` neighbouring bytes as one integer."""
    count = max(0, len(data) - order + 1)
    packed = np.zeros(count, np.uint64)
    for i in range(order):
        packed = packed << BYTE | data[i : i + count]
    return packed


def _mask(length: int) -> np.uint64:
    return np.uint64((1 << 8 * length) - 1)


def _looked_up(wanted: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value of each wanted key, 0 for those that are not among the sorted `keys`."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
