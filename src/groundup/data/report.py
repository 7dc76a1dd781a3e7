"""What a text is like before anything is learned from it: `groundup data report`.

Sizes, languages, duplicates, personal data, what the text suffices for, what it has in common with the
texts that a model will be examined on, and every problem with its file, line and cure.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from groundup.cleaning.duplicates import ExactDuplicates
from groundup.cleaning.leaks import Leak, find_leaks
from groundup.cleaning.near_duplicates import near_duplicates
from groundup.cleaning.step import Record
from groundup.data.survey import Survey
from groundup.sources.problems import Problem
from groundup.sources.read import file_encodings, read_pieces
from groundup.tokenizer.tokenizer import Tokenizer

# What a vocabulary is learned from, and tokens are counted in, where no tokenizer is given.
SAMPLE_CHARACTERS = 4_000_000
VOCAB_SIZE = 4096
# Hoffmann et al. 2022: where compute is short, 20 tokens of text for each parameter are best.
TOKENS_PER_PARAMETER = 20
# Below this a model writes no sentences, however it is trained (TinyStories, Eldan and Li 2023, begin
# at one million).
SMALLEST_MODEL = 1_000_000
MOST_PROBLEMS = 1000
MOST_ALIKE = 5


@dataclass(frozen=True)
class TermCost:
    """How many tokens a word costs: under the tokenizer before, and under one learned here."""

    term: str
    occurrences: int
    before: int
    after: int


@dataclass
class DataReport:
    """All that is told of some documents."""

    survey: Survey
    encodings: dict[str, int]
    """Files by encoding."""
    exact_duplicates: int
    """Documents that would go because they were there before."""
    near_duplicates: int
    """Further documents that are nearly the same as an earlier one."""
    tokens: int
    bytes_per_token: float
    terms: list[TermCost]
    leaks: list[Leak]
    problems: list[Problem]
    """The first ones of each kind in each file."""
    problem_count: int

    @property
    def suffices(self) -> str:
        """What this text suffices for, in a sentence."""
        if not self.survey.documents:
            return "no document could be read"
        parameters = self.tokens / TOKENS_PER_PARAMETER
        said = (
            f"at {TOKENS_PER_PARAMETER} tokens per parameter this trains {_in_words(parameters)} "
            "parameters from scratch"
        )
        advice = "; continue from a model instead" if parameters < SMALLEST_MODEL else ""
        return said + advice

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return self.survey.to_json() | {
            "tokens": self.tokens,
            "bytes_per_token": self.bytes_per_token,
            "suffices": self.suffices,
            "encodings": self.encodings,
            "exact_duplicates": self.exact_duplicates,
            "near_duplicates": self.near_duplicates,
            "terms": [asdict(cost) for cost in self.terms],
            "leaks": [leak._asdict() for leak in self.leaks],
            "problem_count": self.problem_count,
            "problems": [asdict(problem) for problem in self.problems],
        }


def report_on(
    paths: Sequence[str],
    against: Sequence[str] = (),
    terms: Sequence[str] = (),
    tokenizer: Tokenizer | None = None,
    text_field: str | None = None,
) -> DataReport:
    """Read the documents of `paths` and tell what they are like. `against` are texts that must not be
    among them, `terms` words whose cost in tokens is asked, before (with `tokenizer`, or in bytes)
    and after learning a vocabulary from these documents."""
    problems: list[Problem] = []

    told: Counter[tuple[str, str]] = Counter()

    def note(problem: Problem) -> None:
        """The first few of a kind in a file speak for the others."""
        told[problem.kind, problem.file] += 1
        if told[problem.kind, problem.file] <= MOST_ALIKE and len(problems) < MOST_PROBLEMS:
            problems.append(problem)

    survey, exact = Survey(terms), Record(ExactDuplicates.name())
    unique = ExactDuplicates().apply(survey.watch(read_pieces(paths, text_field, note)), exact)
    near = sum(1 for _ in near_duplicates(piece.text for piece in unique))
    sample = list(_sample(paths, text_field))
    learned = Tokenizer.train_from_iterator(sample, VOCAB_SIZE) if sample else None
    bytes_per_token = _bytes_per_token(sample, tokenizer or learned)
    leaks = []
    if against:
        leaks = find_leaks(read_pieces(paths, text_field, _again), read_pieces(against, None, note))
    return DataReport(
        survey,
        file_encodings(paths),
        exact.removed.documents,
        near,
        round(survey.bytes / bytes_per_token),
        bytes_per_token,
        _term_costs(survey, tokenizer, learned),
        leaks,
        problems,
        told.total(),
    )


def _again(problem: Any) -> None:
    """For a second reading, whose problems are known from the first."""


def _sample(paths: Sequence[str], text_field: str | None) -> Iterator[str]:
    """Texts from the beginning, for about `SAMPLE_CHARACTERS`."""
    read = 0
    for piece in read_pieces(paths, text_field, _again):
        yield piece.text
        read += len(piece.text)
        if read > SAMPLE_CHARACTERS:
            return


def _bytes_per_token(sample: list[str], tokenizer: Tokenizer | None) -> float:
    if tokenizer is None:
        return 1.0
    tokens = sum(map(len, tokenizer.encode_batch(sample, allow_special=False)))
    return sum(len(text.encode("utf-8", "replace")) for text in sample) / tokens


def _term_costs(
    survey: Survey, before: Tokenizer | None, after: Tokenizer | None
) -> list[TermCost]:
    costs = []
    for term, occurrences in survey.terms.items():
        in_bytes = len(term.encode())
        given = _cost(term, before) if before else in_bytes
        learned = _cost(term, after) if after else in_bytes
        costs.append(TermCost(term, occurrences, given, learned))
    return costs


def _cost(term: str, tokenizer: Tokenizer) -> int:
    """In running text most words have a space before them, which their token includes."""
    return min(len(tokenizer.encode(text, allow_special=False)) for text in (term, f" {term}"))


def _in_words(count: float) -> str:
    """1.2 M, 800 k."""
    for size, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size / 10:
            return f"{count / size:.1f} {name}"
    return f"{count:.0f}"
