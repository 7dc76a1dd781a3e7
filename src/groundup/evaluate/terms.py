"""The words of a field, found in its texts without a dictionary.

Where words have spaces between them they are words. Chinese has none: there a term is a sequence of
two to four characters that comes again and again, whose parts stand together far more often than by
chance, and beside which many different characters stand, so that it ends where it seems to end (as in
Sornlertlamvanich et al. 2000, and Feng et al. 2004, "Accessor Variety Criteria").
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import regex

FEWEST = 3
"""How often a term comes, at least."""
COMMON = 0.01
"""A term in a larger share of the sentences is no term but a word of everyday."""
COHESION = 30.0
"""How many times more often than by chance the parts of a Chinese term stand together."""
VARIETY = 3
"""How many different characters stand before it, and behind it, at least."""
LONGEST_HAN = 4

_SENTENCE = regex.compile(r"[^\n。！？!?]*?(?:[。！？!?]+[”’」』\"]?|\.(?=\s|$)|\n|$)")
_WORD = regex.compile(r"(?<![\w-])\p{Latin}[\p{Latin}'’-]{2,}\p{Latin}(?![\w-])")
_HAN = regex.compile(r"\p{Han}+")

Kind = tuple[str, int]
"""What a term is like: words alike in their first letter's case, Chinese terms of one length."""


def sentences(text: str) -> list[str]:
    """The sentences of a text, each on its own."""
    found = (match.group().strip() for match in _SENTENCE.finditer(text))
    return [sentence for sentence in found if sentence]


def find_terms(texts: Sequence[str]) -> dict[str, int]:
    """How often each term comes in these sentences."""
    counts = Counter(word for text in texts for word in _WORD.findall(text))
    spread = Counter(word for text in texts for word in set(_WORD.findall(text)))
    counts |= han_terms(texts)
    for term in counts.keys() - spread.keys():
        spread[term] = counts[term]
    most = max(FEWEST, COMMON * len(texts))
    return {term: n for term, n in counts.items() if n >= FEWEST and spread[term] <= most}


def han_terms(texts: Sequence[str]) -> Counter[str]:
    """Chinese terms and how often they come."""
    runs = [run for text in texts for run in _HAN.findall(text)]
    counts = Counter(part for run in runs for part in _parts(run))
    total = sum(map(len, runs))
    cohesive = {
        part
        for part, count in counts.items()
        if len(part) > 1 and count >= FEWEST and _cohesion(part, counts, total) >= COHESION
    }
    before, behind = _neighbours(texts, cohesive)
    return Counter(
        {
            part: counts[part]
            for part in cohesive
            if len(before[part]) >= VARIETY and len(behind[part]) >= VARIETY
        }
    )


def _parts(run: str) -> Iterator[str]:
    for length in range(1, LONGEST_HAN + 1):
        for start in range(len(run) - length + 1):
            yield run[start : start + length]


def _cohesion(part: str, counts: Counter[str], total: int) -> float:
    """p(part) against that of its likeliest two halves standing together by chance."""
    by_chance = max(counts[part[:cut]] * counts[part[cut:]] for cut in range(1, len(part)))
    return counts[part] * total / by_chance


def _neighbours(
    texts: Sequence[str], parts: set[str]
) -> tuple[defaultdict[str, set[str]], defaultdict[str, set[str]]]:
    """The characters that stand before and behind each part; each end of a text is another one."""
    before: defaultdict[str, set[str]] = defaultdict(set)
    behind: defaultdict[str, set[str]] = defaultdict(set)
    for number, text in enumerate(texts):
        for length in range(2, LONGEST_HAN + 1):
            for start in range(len(text) - length + 1):
                if (part := text[start : start + length]) in parts:
                    end = start + length
                    before[part].add(text[start - 1] if start else f"begin {number}")
                    behind[part].add(text[end] if end < len(text) else f"end {number}")
    return before, behind


def terms_in(sentence: str, terms: dict[str, int]) -> list[tuple[int, str]]:
    """Where each term stands in a sentence: of two that overlap, the longer."""
    found = [(match.start(), match.group()) for match in _WORD.finditer(sentence)]
    for run in _HAN.finditer(sentence):
        found += _longest_parts(run.group(), run.start(), terms)
    return [(start, term) for start, term in found if term in terms]


def _longest_parts(run: str, offset: int, terms: dict[str, int]) -> Iterator[tuple[int, str]]:
    """The terms of a run of Chinese characters, from the left, the longest first."""
    start = 0
    while start < len(run):
        lengths = range(min(LONGEST_HAN, len(run) - start), 1, -1)
        fitting = (run[start : start + n] for n in lengths if run[start : start + n] in terms)
        if term := next(fitting, None):
            yield offset + start, term
        start += len(term) if term else 1


def kind(term: str) -> Kind:
    """Terms of one kind may stand in for each other."""
    if _HAN.fullmatch(term):
        return ("han", len(term))
    return ("upper" if term.isupper() else "title" if term[0].isupper() else "lower", 0)
