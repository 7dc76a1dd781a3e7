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
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

Pair = tuple[int, int]
Merges = list[Pair]
Progress = Callable[[int, int], None]


def learn_merges_simply(words: Mapping[bytes, int], n_merges: int) -> Merges:
    """The `n_merges` merges that the counted `words` teach; merge i makes token 256 + i.

    Of equally frequent pairs the one with the smaller ids is taken. Fewer merges come back when
    there is nothing left to join.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    splits = {word: list(word) for word in words}
    merges: Merges = []
    while len(merges) < n_merges:
        counts: Counter[Pair] = Counter()
        for word, ids in splits.items():
            for pair in zip(ids, ids[1:], strict=False):
                if is_allowed(tokens[pair[0]] + tokens[pair[1]]):
                    counts[pair] += words[word]
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        splits = {word: merge(ids, best, len(tokens)) for word, ids in splits.items()}
        tokens.append(tokens[best[0]] + tokens[best[1]])
        merges.append(best)
    return merges


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
    state = _Pairs(words)
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
    """

    def __init__(self, words: Mapping[bytes, int]):
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        self.symbol = np.append(np.frombuffer(b"".join(words), np.uint8).astype(np.int32), -1)
        self.weight = np.append(np.repeat(np.fromiter(words.values(), np.int64), lengths), 0)
        size = len(self.symbol) - 1
        ends = np.cumsum(lengths)
        places = np.arange(size + 1, dtype=np.int32)
        self.following, self.before = places + 1, places - 1
        self.following[ends - 1] = self.before[ends - lengths] = size
        self.following[size] = self.before[size] = size
        self.joined = np.zeros(size + 1, bool)
        self.tokens = [bytes([byte]) for byte in range(256)]
        self.count: dict[Pair, int] = defaultdict(int)
        self.places: dict[Pair, list[np.ndarray]] = defaultdict(list)
        self.heap: list[tuple[int, Pair]] = []
        self._count_all(places[:size][self.following[:size] != size])

    def most_frequent(self) -> Pair | None:
        """The pair with the highest count, the smaller ids first among equals."""
        while self.heap:
            negative, pair = heapq.heappop(self.heap)
            if -negative == self.count.get(pair):
                return pair
        return None

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
        changed: set[Pair] = set()
        self._add(changed, pair[0], self.symbol[left], "left", -weight)
        self._add(changed, pair[1], self.symbol[right][own], "right", -weight[own])
        self.symbol[first] = new
        self.symbol[second] = -2  # no longer there
        self.following[first] = right
        self.before[right] = first
        self.before[-1] = self.following[-1] = len(self.symbol) - 1
        left = self.before[first]
        self._add(changed, new, self.symbol[left], "left", weight, left)
        self._add(changed, new, self.symbol[right][own], "right", weight[own], first[own])
        del self.count[pair]
        changed.discard(pair)
        for touched in changed:
            if self.count[touched] > 0:
                heapq.heappush(self.heap, (-self.count[touched], touched))
            else:
                del self.count[touched]
                self.places.pop(touched, None)

    def _true_places(self, pair: Pair) -> np.ndarray:
        """Where `pair` really stands now, in order; of overlapping places ("aaa") every second."""
        places = np.concatenate(self.places.pop(pair))
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

    def _count_all(self, places: np.ndarray) -> None:
        """Count the pairs that begin at `places`."""
        changed: set[Pair] = set()
        lefts = self.symbol[places]
        for left in np.unique(lefts).tolist():
            here = places[lefts == left]
            rights = self.symbol[self.following[here]]
            self._add(changed, left, rights, "right", self.weight[here], here)
        self.heap = [(-self.count[pair], pair) for pair in changed]
        heapq.heapify(self.heap)

    def _add(
        self,
        changed: set[Pair],
        token: int,
        neighbours: np.ndarray,
        side: Literal["left", "right"],
        weight: np.ndarray,
        places: np.ndarray | None = None,
    ) -> None:
        """Add `weight` to the counts of `token` with the `neighbours` that stand on its `side`; with
        `places`, note where these pairs are."""
        order = np.argsort(neighbours, kind="stable")
        ordered = neighbours[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-3))
        if not len(starts):
            return
        sums = np.add.reduceat(weight[order], starts).tolist()
        groups = np.split(places[order], starts[1:]) if places is not None else None
        for i, neighbour in enumerate(ordered[starts].tolist()):
            pair = (neighbour, token) if side == "left" else (token, neighbour)
            if neighbour < 0 or not self._may_join(pair):
                continue
            self.count[pair] += sums[i]
            changed.add(pair)
            if groups is not None:
                self.places[pair].append(groups[i])

    def _may_join(self, pair: Pair) -> bool:
        return pair in self.count or is_allowed(self.tokens[pair[0]] + self.tokens[pair[1]])
