"""The words that a vocabulary is learned from: text cut by a pattern, counted by all processors.

Merges never cross the borders of these words. Only the counts of distinct words are held in memory,
never the text.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from queue import SimpleQueue

import regex

# As in GPT-4's tokenizer (tiktoken, cl100k_base), with one change: a run of Han characters is a
# word of its own, so that merges can find the words in it and 。or “ do not stick to them. From
# left to right: 's 't 'll …; Han; letters with a space or mark before; up to three digits;
# punctuation; line ends; spaces.
SPLIT_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)"
    r"|\p{Han}+"
    r"|[^\r\n\p{L}\p{N}]?+(?:(?!\p{Han})\p{L})+"
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)

# Above so many distinct words the once-seen ones are dropped, as in word2vec's training: they
# hardly ever win a merge. About 1 GB of memory.
MOST_WORDS = 3_000_000
BATCH_CHARACTERS = 4_000_000


def count_words(
    texts: Iterable[str], pattern: str, special_tokens: Sequence[str], processes: int | None = None
) -> dict[bytes, int]:
    """How often each word occurs in `texts`, sorted by the word. Special tokens separate words and
    are none. The result does not depend on the number of `processes` (default: all processors)."""
    counts: Counter[str] = Counter()
    for counted in _count_batches(texts, pattern, special_tokens, processes or os.cpu_count() or 1):
        counts.update(counted)
        if len(counts) > MOST_WORDS:
            counts = Counter({word: count for word, count in counts.items() if count > 1})
    return {word.encode(): counts[word] for word in sorted(counts)}


# lab: count_words
def count_words_in(
    texts: Sequence[str], pattern: str, special_tokens: Sequence[str]
) -> Counter[str]:
    """How often each word occurs in `texts`: what `pattern` finds, a regular expression of the module
    `regex`. Special tokens separate words and are none.

    >>> counts = count_words_in(["to be or not", "to be<|end|>be"], "[a-z]+", ["<|end|>"])
    >>> sorted(counts.items())
    [('be', 3), ('not', 1), ('or', 1), ('to', 2)]
    """
    compiled = regex.compile(pattern)
    if special_tokens:
        separator = regex.compile("|".join(map(regex.escape, special_tokens)))
        texts = [part for text in texts for part in separator.split(text)]
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(compiled.findall(text))
    return counts


def _count_batches(
    texts: Iterable[str], pattern: str, special_tokens: Sequence[str], processes: int
) -> Iterator[Counter[str]]:
    """Count batch by batch, in other processes if there is more than one batch, and never read
    further ahead than they count."""
    batches = _batches(texts)
    begun = list(islice(batches, 2))
    if len(begun) < 2 or processes == 1:
        for batch in chain(begun, batches):
            yield count_words_in(batch, pattern, special_tokens)
        return
    with contextlib.ExitStack() as stack:
        idle: SimpleQueue[_Counter] = SimpleQueue()
        for _ in range(processes):
            idle.put(stack.enter_context(_Counter(pattern, special_tokens)))
        pool = stack.enter_context(ThreadPoolExecutor(processes))
        waiting: list[Future[Counter[str]]] = []
        for batch in chain(begun, batches):
            waiting.append(pool.submit(_count_elsewhere, idle, batch))
            if len(waiting) > 2 * processes:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()


def _count_elsewhere(idle: "SimpleQueue[_Counter]", batch: list[str]) -> Counter[str]:
    counter = idle.get()
    try:
        return counter.count(batch)
    finally:
        idle.put(counter)


class _Counter:
    """Another Python process that counts, spoken to in lines of JSON. (`multiprocessing` would run
    the user's own script again in each process, unless the script guards against that.)"""

    def __init__(self, pattern: str, special_tokens: Sequence[str]):
        program = "from groundup.tokenizer.words import serve; serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process, which then ends the other
        )  # fmt: skip
        self.options = [pattern, list(special_tokens)]

    def __enter__(self) -> "_Counter":
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def count(self, texts: list[str]) -> Counter[str]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([texts, *self.options]).encode() + b"\n")
        self.process.stdin.flush()
        return Counter(json.loads(self.process.stdout.readline()))


def serve() -> None:
    """The other end of `_Counter`: answer each line of texts with a line of their counts."""
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(count_words_in(*json.loads(line))).encode() + b"\n")
        sys.stdout.buffer.flush()


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in lists of about `BATCH_CHARACTERS`."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
