"""Byte-pair encoding: learn a vocabulary by joining, again and again, the most frequent pair.

Sennrich et al. 2016 for subwords, on bytes as in GPT-2 (Radford et al. 2019), so that every text
can be written: the first 256 tokens are the bytes. `learn_merges_simply` is the algorithm in its
simplest form, to read and to test against; `learn_merges` gives the same merges, thousands of times
faster, by never counting twice.

One rule is ours: a merge yields whole characters or a part of a single one, never "a character and
a third of the next". In English this changes nothing; in Chinese, three bytes a character, it keeps
the vocabulary for words.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

Pair = tuple[int, int]
Merges = list[Pair]
Progress = Callable[[int, int], None]
Side = Literal["left", "right"]


# lab: learn_merges
def learn_merges_simply(words: Mapping[bytes, int], n_merges: int) -> Merges:
    """The `n_merges` merges that the counted `words` teach; merge i makes token 256 + i.

    Of equally frequent pairs the one with the smaller ids is taken. Fewer merges come back when
    there is nothing left to join.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    splits = {word: list(word) for word in words}
    merges: Merges = []
    while len(merges) < n_merges:
        counts = count_pairs(splits, words)
        allowed = [pair for pair in counts if is_allowed(tokens[pair[0]] + tokens[pair[1]])]
        if not allowed:
            break
        best = min(allowed, key=lambda pair: (-counts[pair], pair))
        splits = {word: merge(ids, best, len(tokens)) for word, ids in splits.items()}
        tokens.append(tokens[best[0]] + tokens[best[1]])
        merges.append(best)
    return merges


# lab: count_pairs
def count_pairs(splits: Mapping[bytes, Sequence[int]], words: Mapping[bytes, int]) -> Counter[Pair]:
    """How often each pair of neighbouring tokens occurs in a text, of which `words` says how often each
    word occurs, and `splits` the tokens that it consists of by now.

    >>> counts = count_pairs({b"aab": [97, 97, 98], b"ab": [97, 98]}, {b"aab": 1, b"ab": 5})
    >>> sorted(counts.items())
    [((97, 97), 1), ((97, 98), 6)]
    """
    counts: Counter[Pair] = Counter()
    for word, ids in splits.items():
        for pair in zip(ids, ids[1:], strict=False):
            counts[pair] += words[word]
    return counts


# lab: merge
def merge(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """`ids` with each occurrence of `pair`, from left to right, replaced by `new_id`.

    >>> merge([1, 2, 1, 2, 3], (1, 2), 9)
    [9, 9, 3]
    """
    merged, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            merged.append(new_id)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


# lab: encode_word
def encode_word(word: Sequence[int], merges: Mapping[Pair, int]) -> list[int]:
    """The tokens of a word: of all pairs in it that are known, the one that was learned first is joined
    wherever it stands, then the first-learned of those that stand there now, until none is known.

    `word` is its bytes; `merges` gives the token that each pair makes, the first-learned pair first and
    its token the lowest.

    >>> encode_word(b"hugs", {(117, 103): 256, (104, 256): 257})
    [257, 115]
    """
    ids = list(word)
    while known := [pair for pair in zip(ids, ids[1:], strict=False) if pair in merges]:
        first = min(known, key=merges.__getitem__)
        ids = merge(ids, first, merges[first])
    return ids


def is_allowed(token: bytes) -> bool:
    """True for whole characters and for a part of one.

    >>> is_allowed("ab".encode()), is_allowed("机".encode()[:2]), is_allowed("机器".encode()[:4])
    (True, True, False)
    """
    if all(0x80 <= byte < 0xC0 for byte in token[1:]):  # one character, or a piece of it
        return True
    try:
        token.decode()
    except UnicodeDecodeError:
        return False
    return True


def learn_merges(
    words: Mapping[bytes, int], n_merges: int, progress: Progress | None = None
) -> Merges:
    """`learn_merges_simply`, fast: only what a merge changes is counted again."""
    state = _Pairs(words, n_merges)
    merges: Merges = []
    while len(merges) < n_merges and (best := state.most_frequent()) is not None:
        state.join(best)
        merges.append(best)
        if progress and len(merges) % 100 == 0:
            progress(len(merges), n_merges)
    return merges


class _Pairs:
    """All words end to end as a linked list in arrays, and where each pair of neighbours stands.

    `symbol[i]` is the token at place i, `following` and `before` are its neighbours' places (the
    last place is a sentinel with symbol −1, between and around words), `weight[i]` is how often its
    word occurs. Places of a pair may be out of date; they are checked when the pair is joined.
    A heap holds (−count, pair), also possibly out of date; a pair's true count is in `count`.

    After a pair has come up its count only falls: pairs with new neighbours are new pairs. So the heap
    may be put right when a pair is taken from it, and pairs below a `floor`, the great majority, need
    not be followed at all until the frequent ones are used up; then all are counted anew with a lower
    floor.
    """

    def __init__(self, words: Mapping[bytes, int], n_merges: int):
        size = sum(map(len, words))
        lengths = np.fromiter([*map(len, words), 1], np.int64, len(words) + 1)
        counts = np.fromiter([*words.values(), 0], np.int64, len(words) + 1)
        kind = np.int32 if counts.max() < 2**31 else np.int64
        self.weight = np.repeat(counts.astype(kind), lengths)
        self.symbol = np.frombuffer(b"".join([*words, b" "]), np.uint8).astype(np.int32)
        self.symbol[size] = -1
        self.following = np.arange(1, size + 2, dtype=np.int32)
        self.before = np.arange(-1, size, dtype=np.int32)
        ends = np.cumsum(lengths[:-1])
        self.following[ends - 1] = self.before[ends - lengths[:-1]] = size
        self.following[size] = self.before[size] = size
        self.joined = np.zeros(size + 1, bool)
        self.tokens = [bytes([byte]) for byte in range(256)]
        self.count: dict[Pair, int] = {}
        self.places: dict[Pair, np.ndarray] = {}
        self.heap: list[tuple[int, Pair]] = []
        # The last of n merges occurs a good deal more often than this in every text tried.
        self.floor = int(self.weight.sum(dtype=np.int64)) // (40 * max(1, n_merges)) + 1
        self._count_all()

    def most_frequent(self) -> Pair | None:
        """The pair with the highest count, the smaller ids first among equals."""
        while True:
            while self.heap:
                negative, pair = heapq.heappop(self.heap)
                count = self.count.get(pair, 0)
                if count == -negative:
                    return pair
                if count:
                    heapq.heappush(self.heap, (-count, pair))
            if self.floor == 1:
                return None
            self.floor = self.floor // 8 + 1 if self.floor > 2 else 1
            self._count_all()

    def join(self, pair: Pair) -> None:
        """Replace `pair` by a new token everywhere and bring the neighbours' counts up to date."""
        new = len(self.tokens)
        self.tokens.append(self.tokens[pair[0]] + self.tokens[pair[1]])
        first = self._true_places(pair)
        second = self.following[first]
        left, right = self.before[first], self.following[second]
        weight = self.weight[first]
        # Between two joined places the pair in the middle would be counted from both sides.
        self.joined[first] = True
        own = ~self.joined[right]
        self.joined[first] = False
        del self.count[pair]
        self._subtract(pair[0], self.symbol[left], "left", weight)
        self._subtract(pair[1], self.symbol[right][own], "right", weight[own])
        self.symbol[first] = new
        self.symbol[second] = -2  # no longer there
        self.following[first] = right
        self.before[right] = first
        self.before[-1] = self.following[-1] = len(self.symbol) - 1
        left = self.before[first]
        self._add(new, self.symbol[left], "left", weight, left)
        self._add(new, self.symbol[right][own], "right", weight[own], first[own])

    def _true_places(self, pair: Pair) -> np.ndarray:
        """Where `pair` really stands now, in order; of overlapping places ("aaa") every second."""
        places = self.places.pop(pair)
        is_there = (self.symbol[places] == pair[0]) & (
            self.symbol[self.following[places]] == pair[1]
        )
        places = np.unique(places[is_there])
        if pair[0] == pair[1]:
            taken: set[int] = set()
            for place in places.tolist():
                if self.before[place] not in taken:
                    taken.add(place)
            places = np.array(sorted(taken), np.int32)
        return places

    def _count_all(self) -> None:
        """Count every pair of neighbours and follow those that reach the floor."""
        self.count.clear()
        self.places.clear()
        self.heap.clear()
        size = len(self.symbol) - 1
        is_pair = (self.symbol[:size] >= 0) & (self.following[:size] != size)
        places = np.flatnonzero(is_pair).astype(np.int32)
        places = places[np.argsort(self.symbol[places], kind="stable")]
        lefts = self.symbol[places]
        starts = np.flatnonzero(np.diff(lefts, prepend=-3))
        for left, here in zip(lefts[starts].tolist(), np.split(places, starts[1:]), strict=False):
            rights = self.symbol[self.following[here]]
            self._add(left, rights, "right", self.weight[here], here)

    def _add(
        self, token: int, neighbours: np.ndarray, side: Side, weight: np.ndarray, places: np.ndarray
    ) -> None:
        """Follow the pairs of `token` with the `neighbours` on its `side`, which stand at `places`,
        where they are frequent and allowed."""
        order, starts, found, sums = _sums(neighbours, weight)
        ends = [*starts[1:], len(order)]
        for neighbour, count, start, end in zip(found, sums, starts, ends, strict=True):
            if count < self.floor or neighbour < 0:
                continue
            pair = (neighbour, token) if side == "left" else (token, neighbour)
            if is_allowed(self.tokens[pair[0]] + self.tokens[pair[1]]):
                self.count[pair] = count
                self.places[pair] = places[order[start:end]]
                heapq.heappush(self.heap, (-count, pair))

    def _subtract(self, token: int, neighbours: np.ndarray, side: Side, weight: np.ndarray) -> None:
        """Take `weight` from the pairs of `token` with the `neighbours` on its `side`, and follow
        those no more that fall below the floor."""
        _, _, found, sums = _sums(neighbours, weight)
        for neighbour, count in zip(found, sums, strict=True):
            pair = (neighbour, token) if side == "left" else (token, neighbour)
            if pair in self.count:
                self.count[pair] -= count
                if self.count[pair] < self.floor:
                    del self.count[pair], self.places[pair]


def _sums(
    neighbours: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, list[int], list[int], list[int]]:
    """The weights summed by neighbour: an order that groups equal neighbours, where each group
    begins in it, the neighbours, and their sums."""
    order = np.argsort(neighbours, kind="stable")
    if not len(order):
        return order, [], [], []
    ordered = neighbours[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-3))
    sums = np.add.reduceat(weight[order], starts, dtype=np.int64)
    return order, starts.tolist(), ordered[starts].tolist(), sums.tolist()
