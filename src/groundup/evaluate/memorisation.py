"""How much of its training text does a model recite?

The model is given some tokens of a training document and goes on greedily: as long as it says what really
follows, it recites (Carlini et al. 2021, "Extracting Training Data from Large Language Models"; 2023,
"Quantifying Memorization Across Neural Language Models", whose measure is 50 tokens after 50). Common
phrases are guessed by any model, so the same is done with held-out documents, as a control.

Greedy generation says a continuation exactly as far as each of its tokens is the likeliest after the true
ones before. One pass over prompt and continuation together finds that out, without generating.
"""

import random
import re
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice, takewhile
from typing import Generic, NamedTuple, TypeVar

import torch

from groundup.cleaning.personal import Found, find_personal
from groundup.errors import InputError
from groundup.evaluate.config import MemorisationConfig
from groundup.evaluate.intervals import Difference, bootstrap, independent_difference, wilson
from groundup.evaluate.results import Figure, Result, Table
from groundup.language import N_
from groundup.model.gpt import GPT
from groundup.sources.read import Piece
from groundup.tokenizer.tokenizer import Tokenizer

# A token stands for a few characters; so many of each are cut out, to have enough tokens with most
# vocabularies and languages, and some places more than are tried, as some will still be too short.
CHARACTERS_PER_TOKEN = 8
OVERSAMPLED = 4
LONGEST_WORD = 30
EXCERPT_CHARACTERS = 300
SHOWN = 5
_WORD = re.compile(r"(?<=\s)\S")


@dataclass(frozen=True)
class Recital:
    """One place: where it is, what the model was given, what it said as it stands there, and how many
    tokens that is, of those asked for."""

    where: str
    prefix: str
    said: str
    tokens: int
    recited: int

    @property
    def is_verbatim(self) -> bool:
        return self.recited == self.tokens


@dataclass(frozen=True)
class PersonalTrial:
    """One piece of personal data in the training text, and whether the model said all of it."""

    found: Found
    where: str
    is_recited: bool

    @property
    def masked(self) -> str:
        """Its beginning: a report is no place for the rest."""
        return f"{self.found.text[:3]}…"


@dataclass(frozen=True)
class Memorisation:
    """What a model recites of its training text, and of text that it never saw."""

    train: list[Recital]
    held_out: list[Recital]
    personal: list[PersonalTrial]

    @property
    def difference(self) -> Difference | None:
        """By how much the recited share of training text is above that of held-out text; None without
        held-out text."""
        if not self.held_out:
            return None
        return independent_difference(shares(self.held_out), shares(self.train))


def memorisation_result(subject: str, found: Memorisation) -> Result:
    """Figures, a sentence, and what was recited at most."""
    baselines = [_recited(N_("held-out text"), found.held_out)] if found.held_out else []
    verbatim = sum(recital.is_verbatim for recital in found.train)
    places = len(found.train)
    figures = [
        _recited(N_("recited share of tokens"), found.train),
        Figure("recited verbatim", verbatim / places, wilson(verbatim, places)),
    ]
    said = [trial for trial in found.personal if trial.is_recited]
    if found.personal:
        count = len(found.personal)
        figures.append(Figure("personal data recited", len(said) / count, wilson(len(said), count)))
    tokens = found.train[0].tokens
    notes = [
        N_(
            f"{places} places of the training text: the model goes on, greedily, and every token that "
            f"stands there counts until the first that does not. Verbatim is all {tokens} tokens."
        ),
        N_(f"{len(found.personal)} pieces of personal data in the training text were asked for."),
    ]
    return Result(
        "Memorisation", subject, figures, baselines, _verdict(found), _examples(found, said), notes
    )


def _recited(name: str, recitals: Sequence[Recital]) -> Figure:
    return Figure(name, statistics.fmean(shares(recitals)), bootstrap(shares(recitals)))


def _verdict(found: Memorisation) -> str:
    difference = found.difference
    if difference is None:
        return N_(
            "without held-out text it cannot be told what is recited and what any model would guess"
        )
    if not difference.is_clear or difference.mean < 0:
        return N_("recites its training text no more than text that it never saw")
    low, high = difference.interval
    return N_(
        f"recites its training text: {low:.3f} to {high:.3f} more of it than of text that it never saw"
    )


def _examples(found: Memorisation, said: Sequence[PersonalTrial]) -> list[Table]:
    longest = sorted(found.train, key=lambda recital: -recital.recited)[:SHOWN]
    rows = [
        (r.where, r.prefix[-EXCERPT_CHARACTERS:], r.said, r.recited) for r in longest if r.recited
    ]
    personal = [(trial.where, trial.found.kind, trial.masked) for trial in said]
    tables = [
        Table("longest recitals", ("where", "given", "recited", "tokens"), rows),
        Table("personal data recited", ("where", "kind", "begins"), personal),
    ]
    return [table for table in tables if table.rows]


def shares(recitals: Iterable[Recital]) -> list[float]:
    """The share of its tokens that was recited, for each place."""
    return [recital.recited / recital.tokens for recital in recitals]


def measure_memorisation(
    model: GPT,
    tokenizer: Tokenizer,
    train: Iterable[Piece],
    held_out: Iterable[Piece],
    config: MemorisationConfig,
) -> Memorisation:
    """Try the places that are drawn from `train` and, if there is any, `held_out`; and the personal data
    in `train`. Both are read once, in bounded memory.

    Raises `InputError` if the model looks at fewer tokens than a place has, or the training text has no
    place that is long enough.
    """
    _check_context(model, tokenizer, config)
    places = _Reservoir[_Excerpt](OVERSAMPLED * config.prompts, config.seed)
    controls = _Reservoir[_Excerpt](OVERSAMPLED * config.prompts, config.seed)
    personal = _Reservoir[_Personal](config.personal, config.seed)
    for piece in train:
        places.offer(_windows(piece, config))
        personal.offer(_personal_excerpts(piece, config))
    for piece in held_out:
        controls.offer(_windows(piece, config))
    recitals = _recitals(model, tokenizer, places.kept, config)
    if not recitals:
        what = N_(
            f"no training document has {config.prefix_tokens + config.continuation_tokens} tokens"
        )
        raise InputError(what, "--memorisation", _shorter(config.prefix_tokens // 2))
    return Memorisation(
        recitals,
        _recitals(model, tokenizer, controls.kept, config),
        _personal_trials(model, tokenizer, personal.kept, config),
    )


@torch.inference_mode()
def recited_tokens(
    model: GPT, rows: Sequence[tuple[list[int], list[int]]], batch: int
) -> list[int]:
    """For each prompt and continuation, in token ids, how many tokens of the continuation the model says
    greedily before the first other one."""
    was_training = model.training
    model.eval()
    counts = []
    for start in range(0, len(rows), batch):
        counts += _recited_of_batch(model, rows[start : start + batch])
    model.train(was_training)
    return counts


def _recited_of_batch(model: GPT, rows: Sequence[tuple[list[int], list[int]]]) -> Iterator[int]:
    # Padding stands behind the continuation, where causal attention cannot see it.
    longest = max(len(prompt) + len(continuation) for prompt, continuation in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    for row, (prompt, continuation) in zip(ids, rows, strict=True):
        row[: len(prompt) + len(continuation)] = torch.tensor(prompt + continuation)
    hidden = model.hidden(ids[:, :-1].to(model.device))
    for states, (prompt, continuation) in zip(hidden, rows, strict=True):
        asked = states[len(prompt) - 1 : len(prompt) + len(continuation) - 1]
        likeliest = model.head(asked).argmax(-1).tolist()
        pairs = zip(likeliest, continuation, strict=True)
        yield sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


T = TypeVar("T")


class _Reservoir(Generic[T]):
    """So many of all that is offered, each as likely as any other (Vitter 1985, algorithm R), in random
    order."""

    def __init__(self, size: int, seed: int):
        self.size, self.seen = size, 0
        self.kept: list[T] = []
        self._random = random.Random(seed)

    def offer(self, items: Iterable[T]) -> None:
        for item in items:
            self.seen += 1
            at = self._random.randrange(self.seen)
            if len(self.kept) < self.size:
                self.kept.append(item)
                self.kept[at], self.kept[-1] = self.kept[-1], self.kept[at]
            elif at < self.size:
                self.kept[at] = item


class _Excerpt(NamedTuple):
    """A part of a document."""

    where: str
    text: str


class _Personal(NamedTuple):
    """Personal data, and the part of a document that it stands in."""

    where: str
    text: str
    found: Found


def _windows(piece: Piece, config: MemorisationConfig) -> Iterator[_Excerpt]:
    """Parts of a document, side by side, each with enough text for one place."""
    size = CHARACTERS_PER_TOKEN * (config.prefix_tokens + config.continuation_tokens)
    for start in range(0, len(piece.text), size):
        begin = _word_start(piece.text, start)
        if text := piece.text[begin : begin + size]:
            yield _Excerpt(piece.where, text)


def _word_start(text: str, at: int) -> int:
    """The next beginning of a word, as tokens are cut there; the place itself where none is near."""
    found = _WORD.search(text, at, at + LONGEST_WORD) if at else None
    return found.start() if found else at


def _recitals(
    model: GPT, tokenizer: Tokenizer, excerpts: Iterable[_Excerpt], config: MemorisationConfig
) -> list[Recital]:
    """What the model recites at the first `config.prompts` of these that have enough tokens."""
    prefix, whole = config.prefix_tokens, config.prefix_tokens + config.continuation_tokens
    encoded = ((e, tokenizer.encode(e.text, allow_special=False)[:whole]) for e in excerpts)
    places = list(islice((place for place in encoded if len(place[1]) == whole), config.prompts))
    rows = [(tokenizer.begin_ids + ids[:prefix], ids[prefix:]) for _, ids in places]
    counts = recited_tokens(model, rows, config.batch)
    return [
        _recital(tokenizer, excerpt.where, ids[:prefix], ids[prefix:], count)
        for (excerpt, ids), count in zip(places, counts, strict=True)
    ]


def _recital(
    tokenizer: Tokenizer, where: str, prefix: list[int], continuation: list[int], recited: int
) -> Recital:
    decoder = tokenizer.decode_stream(after=prefix)
    said = "".join(map(decoder.feed, continuation[:recited])) + decoder.flush()
    return Recital(where, tokenizer.decode(prefix), said, len(continuation), recited)


def _personal_excerpts(piece: Piece, config: MemorisationConfig) -> Iterator[_Personal]:
    """The personal data in a document, each with the text before it, and a little of what follows: a
    token may hold the last of it and what comes next."""
    before = CHARACTERS_PER_TOKEN * config.prefix_tokens
    for found in find_personal(piece.text):
        begin = min(_word_start(piece.text, max(0, found.start - before)), found.start)
        here = replace(found, start=found.start - begin, end=found.end - begin)
        yield _Personal(piece.where, piece.text[begin : found.end + LONGEST_WORD], here)


def _personal_trials(
    model: GPT, tokenizer: Tokenizer, excerpts: Iterable[_Personal], config: MemorisationConfig
) -> list[PersonalTrial]:
    """Whether the model says each piece of personal data, once for each, after the tokens before it.
    What nothing stands before cannot be asked for."""
    distinct = {excerpt.found.text: excerpt for excerpt in excerpts}.values()
    rows = [_personal_row(tokenizer, excerpt, config.prefix_tokens) for excerpt in distinct]
    askable = [(e, row) for e, row in zip(distinct, rows, strict=True) if row[0]]
    counts = recited_tokens(model, [row for _, row in askable], config.batch)
    return [
        PersonalTrial(e.found, e.where, count == len(row[1]))
        for (e, row), count in zip(askable, counts, strict=True)
    ]


def _personal_row(
    tokenizer: Tokenizer, excerpt: _Personal, prefix_tokens: int
) -> tuple[list[int], list[int]]:
    """The tokens before the personal data, and those that hold a part of it."""
    ids = tokenizer.encode(excerpt.text, allow_special=False)
    ends = list(accumulate(map(len, tokenizer.pieces(ids))))
    first = bisect_right(ends, excerpt.found.start)
    last = bisect_left(ends, excerpt.found.end)
    return tokenizer.begin_ids + ids[max(0, first - prefix_tokens) : first], ids[first : last + 1]


def _check_context(model: GPT, tokenizer: Tokenizer, config: MemorisationConfig) -> None:
    needed = len(tokenizer.begin_ids) + config.prefix_tokens + config.continuation_tokens
    context = model.config.context_length
    if needed > context:
        raise InputError(
            f"prompt and continuation have {needed} tokens, and this model looks at no more than {context}",
            "--memorisation", _shorter(context // 2),
        )  # fmt: skip


def _shorter(tokens: int) -> str:
    return N_(
        f"try --memorisation.prefix_tokens {max(1, tokens - 1)} "
        f"--memorisation.continuation_tokens {max(1, tokens - 1)}"
    )
