"""An exam out of one's own documents: a term of a sentence is blanked, and has to be told from others.

The documents must be ones that the model has not learned from: else it is asked what it remembers. The
wrong choices are terms of the same kind that come about as often elsewhere in the documents, so that
neither grammar nor frequency alone tells them from the right one (cloze: Taylor 1953; for models, the
Children's Book Test, Hill et al. 2016).
"""

import bisect
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice

import numpy as np

from groundup.errors import InputError
from groundup.evaluate.config import ClozeConfig
from groundup.evaluate.exam_file import BLANK, ExamQuestion
from groundup.evaluate.terms import Kind, find_terms, kind, sentences, terms_in

NEIGHBOURS = 12
"""Wrong choices are drawn from so many terms that come next more and next less often."""


def build_cloze(
    documents: Sequence[str], config: ClozeConfig | None = None, where: Sequence[str] = ()
) -> list[ExamQuestion]:
    """Questions from `documents` that were held out of training, each term asked for once; `where`
    names each document. The same documents and settings give the same exam.

    Raises `InputError` if the documents have no sentence to ask about.
    """
    config = config or ClozeConfig()
    names = where or [f"document {number}" for number in range(1, len(documents) + 1)]
    places = [
        (s, name) for text, name in zip(documents, names, strict=True) for s in sentences(text)
    ]
    author = _Author(find_terms([sentence for sentence, _ in places]), config)
    order = author.generator.permutation(len(places))
    made = (author.question(*places[int(number)]) for number in order)
    questions = list(islice(filter(None, made), config.questions))
    if not questions:
        raise InputError(
            "no exam can be built from these documents: no term comes three times and has "
            f"{config.choices - 1} others of its kind beside it",
            names[0] if names else None, "give more text of the field",
        )  # fmt: skip
    return questions


class _Author:
    """Writes questions with the `terms` of a field, and remembers which were asked for."""

    def __init__(self, terms: dict[str, int], config: ClozeConfig):
        self.terms, self.config = terms, config
        self.ranked = _by_kind(terms)
        self.used: set[str] = set()
        self.generator = np.random.default_rng(config.seed)

    def question(self, sentence: str, where: str) -> ExamQuestion | None:
        """A question about one of the sentence's terms that was not asked for yet, if there is one."""
        asked = [
            (start, term)
            for start, term in terms_in(sentence, self.terms)
            if term not in self.used and len(sentence[:start].encode()) >= self.config.least_before
        ]
        if not asked or BLANK in sentence:
            return None
        start, term = asked[self.generator.integers(len(asked))]
        choices = [term, *self._wrong_choices(term, sentence)]
        if len(choices) < self.config.choices:
            return None
        self.used.add(term)
        order = self.generator.permutation(len(choices))
        text = sentence[:start] + BLANK + sentence[start + len(term) :]
        right = int(np.flatnonzero(order == 0)[0])
        return ExamQuestion(text, tuple(choices[i] for i in order), frozenset([right]), where)

    def _wrong_choices(self, term: str, sentence: str) -> list[str]:
        """Terms that come about as often, none of which stands in the sentence or is a form of the
        right one. By lot, none to all of them come more often: else the right one would mostly be
        the commonest, as common terms are in more sentences."""
        ranked, how_many = self.ranked[kind(term)], self.config.choices - 1
        place = bisect.bisect_left(ranked, (self.terms[term], term))
        rarer, commoner = (
            [other for _, other in side if _may_stand_beside(other, term, sentence)]
            for side in (
                ranked[max(0, place - NEIGHBOURS) : place],
                ranked[place + 1 : place + 1 + NEIGHBOURS],
            )
        )
        wanted = int(self.generator.integers(how_many + 1))
        above = min(max(wanted, how_many - len(rarer)), len(commoner))
        below = min(how_many - above, len(rarer))
        return self._drawn(commoner, above) + self._drawn(rarer, below)

    def _drawn(self, terms: list[str], how_many: int) -> list[str]:
        return [terms[i] for i in self.generator.permutation(len(terms))[:how_many]]


def _by_kind(terms: dict[str, int]) -> dict[Kind, list[tuple[int, str]]]:
    """The terms of each kind in the order of their counts."""
    ranked: defaultdict[Kind, list[tuple[int, str]]] = defaultdict(list)
    for term, count in sorted(terms.items(), key=lambda item: (item[1], item[0])):
        ranked[kind(term)].append((count, term))
    return ranked


def _may_stand_beside(other: str, term: str, sentence: str) -> bool:
    """Not in the sentence, not a part of the right one, and not with its beginning."""
    stem = term[: max(2, len(term) - 2)]
    return other not in sentence and other not in term and not other.startswith(stem)
