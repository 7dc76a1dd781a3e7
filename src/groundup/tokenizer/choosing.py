"""Which words of a text would save the most tokens, if each were one.

Candidates are what byte-pair encoding learns from the text: strings that are frequent as a whole. Of
them the one that saves most is taken, again and again; savings are counted anew with those already
taken, as parts of a term save little once the term is a token. After AdaptiVocab (Nakash et al. 2025),
which counts n-grams of tokens.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache

import regex

from groundup.errors import InputError
from groundup.tokenizer.bpe import learn_merges
from groundup.tokenizer.extending import is_token, meets_special, pieces_of
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.words import SPLIT_PATTERN, count_words

# Merges learned for each word wanted, beside those that make characters of bytes (two for each of the
# Han characters in use): most merges are parts of others, or tokens already.
MERGES_PER_WORD, MERGES_FOR_CHARACTERS = 8, 8000
# So many distinct runs of letters, the most frequent ones, are enough to rank words by.
MOST_RUNS = 500_000
_LETTERS = regex.compile(r" ?\p{L}+")
_HAN = regex.compile(r"\p{Han}+")

Progress = Callable[[int, int], None]


def choose_words(
    tokenizer: Tokenizer, texts: Iterable[str], count: int, progress: Progress | None = None
) -> list[str]:
    """The `count` words that save most tokens in `texts`, the best first; fewer where no more save any.

    A word is a run of letters with the space before it, or a part of a run of Han characters, that
    occurs at least twice. Raises `InputError` for a count below 1 and for texts without words."""
    if count < 1:
        raise InputError(f"{count} words cannot be added", "--count", "use 1 or more")
    runs = _runs(texts, tokenizer)
    if not runs:
        raise InputError("there is no text to find words in", None, "check the files")
    words = {run.encode(): times for run, times in sorted(runs.items())}
    merges = learn_merges(words, MERGES_FOR_CHARACTERS + MERGES_PER_WORD * count, progress)
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    candidates = {
        word for token in tokens[256:] if (word := _word(token, runs, tokenizer)) is not None
    }
    return _Savings(tokenizer, runs, candidates).best(count)


def _runs(texts: Iterable[str], tokenizer: Tokenizer) -> dict[str, int]:
    """How often each run of letters occurs; with the space before it, where the vocabulary has no
    place for that elsewhere."""
    counted = count_words(texts, SPLIT_PATTERN, list(tokenizer.special_tokens))
    runs: dict[str, int] = defaultdict(int)
    for word, times in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:MOST_RUNS]:
        if run := _LETTERS.search(word.decode("utf-8", "replace")):
            runs[run[0].lstrip(" ") if tokenizer.vocabulary.prefix else run[0]] += times
    return dict(runs)


def _word(token: bytes, runs: dict[str, int], tokenizer: Tokenizer) -> str | None:
    """The word that a learned token is, unless it is a part of a character or of a word that is not
    of Han, one token already, or in the way of a special token."""
    try:
        word = token.decode()
    except UnicodeDecodeError:
        return None
    is_whole = _HAN.fullmatch(word) or runs.get(word, 0) > 1
    if len(word.strip()) < 2 or not is_whole:
        return None
    return None if is_token(tokenizer, word) or meets_special(tokenizer, word) else word


class _Savings:
    """What each candidate would save, given the words that were taken before it."""

    def __init__(self, tokenizer: Tokenizer, runs: dict[str, int], candidates: set[str]):
        self.runs = runs
        self.count = cache(lambda text: len(pieces_of(tokenizer, text)) if text else 0)
        self.places: dict[str, list[str]] = defaultdict(list)
        """The runs that each candidate is in."""
        lengths = sorted({len(word) for word in candidates})
        for run in runs:
            parts = {run[i : i + n] for n in lengths for i in range(len(run) - n + 1)}
            for word in parts & candidates:
                self.places[word].append(run)
        self.taken: dict[str, list[str]] = defaultdict(list)
        """The words taken that are in each run, the longest first."""
        self.now: dict[str, int] = {}
        """The tokens that each run has with them."""

    def best(self, count: int) -> list[str]:
        """Taken one by one; what a word saves is counted when it comes up, since that only falls as
        others are taken (lazy greedy, Minoux 1978)."""
        alone = {word: self.alone(word) for word in sorted(self.places)}
        heap = [(-saved, word) for word, saved in alone.items() if saved > 0]
        heapq.heapify(heap)
        chosen: list[str] = []
        while heap and len(chosen) < count:
            _, word = heapq.heappop(heap)
            saved = self.beside_those_taken(word)
            if heap and 0 < saved < -heap[0][0]:
                heapq.heappush(heap, (-saved, word))
            elif saved > 0:
                chosen.append(word)
                for run in self.places[word]:
                    self.taken[run] = _longest_first([*self.taken[run], word])
                    self.now[run] = self._tokens(run, self.taken[run])
        return chosen

    def alone(self, word: str) -> int:
        """The tokens that `word` saves in its own places; none for one that occurs once."""
        times = sum(self.runs[run] * run.count(word) for run in self.places[word])
        return times * (self.count(word) - 1) if times > 1 else 0

    def beside_those_taken(self, word: str) -> int:
        """The tokens that `word` saves when those taken are tokens already."""
        saved = 0
        for run in self.places[word]:
            now = self.now.setdefault(run, self.count(run))
            more = _longest_first([*self.taken.get(run, []), word])
            saved += self.runs[run] * (now - self._tokens(run, more))
        return saved

    def _tokens(self, run: str, words: list[str]) -> int:
        """How many tokens `run` has with `words`, the longest first, as tokens."""
        tokens = begin = 0
        while True:
            found = [(at, word) for word in words if (at := run.find(word, begin)) >= 0]
            if not found:
                return tokens + self.count(run[begin:])
            at, word = min(
                found, key=lambda place: place[0]
            )  # of equal ones the first, the longest
            tokens += self.count(run[begin:at]) + 1
            begin = at + len(word)


def _longest_first(words: list[str]) -> list[str]:
    return sorted(words, key=len, reverse=True)
