"""Pairs of answers to the same prompt, of which one is preferred: rows of a file → batches.

A row has `chosen` and `rejected`, and before them a `prompt`, or an `instruction`, with an `input` or
not. Each of them is text or a list of messages; answers that are lists may begin with the prompt.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from groundup.data.instructions import Message, RowError, system, text, turns, with_input
from groundup.data.splitting import split_by
from groundup.errors import InputError, nearest
from groundup.sources.rows import BadRows, Row
from groundup.tokenizer.tokenizer import Tokenizer

FIX = 'rows look like {"prompt": "…", "chosen": "…", "rejected": "…"}'


class Pairs(NamedTuple):
    """A batch: the chosen and the rejected answer of each pair in turn, padded at the end. The arrays
    are tensors when the loop has put them on its device."""

    ids: Int[Any, "rows window"]
    weights: Float[Any, "rows time"]
    """1 at targets (`ids` after the first) that are the answer, its end token included, else 0."""
    reference: Float[Any, " rows"] | None
    """log p of each answer, in nats, under the model that the training began from."""

    @property
    def tokens(self) -> int:
        """How many targets there are, padding not counted."""
        return int((self.weights[:, ::-1].cumsum(axis=1) > 0).sum())


@dataclass(frozen=True)
class Pair:
    """A conversation that waits for an answer, and two of them."""

    prompt: list[Message]
    chosen: str
    rejected: str
    where: str
    """The row that it comes from."""


class Answer(NamedTuple):
    """A conversation as ids, of which `ids[start:]` are the answer."""

    ids: list[int]
    start: int


@dataclass(frozen=True)
class EncodedPairs:
    """Pairs as token ids."""

    answers: list[Answer]
    """The chosen and the rejected one of each pair in turn."""
    cut_prompts: int
    """How many pairs were so long that their prompts had to lose their beginnings."""
    reference: Float[np.ndarray, " answers"] | None = None
    """log p of each answer under the model that the training began from."""

    def __len__(self) -> int:
        return len(self.answers) // 2

    def with_reference(self, reference: Float[np.ndarray, " answers"]) -> "EncodedPairs":
        return replace(self, reference=reference)

    def batch(self, pairs: Sequence[int]) -> Pairs:
        """The pairs of these numbers."""
        rows = [row for pair in pairs for row in (2 * pair, 2 * pair + 1)]
        answers = [self.answers[row] for row in rows]
        longest = max(len(answer.ids) for answer in answers)
        ids = np.zeros((len(rows), longest), np.int64)
        weights = np.zeros((len(rows), longest - 1), np.float32)
        for row, answer in enumerate(answers):
            ids[row, : len(answer.ids)] = answer.ids
            weights[row, answer.start - 1 : len(answer.ids) - 1] = 1
        return Pairs(ids, weights, None if self.reference is None else self.reference[rows])


def read_pairs(rows: Iterable[Row], bad: BadRows) -> list[Pair]:
    """The pairs of `rows`. A row that is none is noted in `bad`, with its field.

    Raises `InputError` if no row is.
    """
    pairs: list[Pair] = []
    for row in rows:
        try:
            pairs.append(to_pair(row))
        except RowError as error:
            bad.add(row.where, str(error))
    bad.refuse_if_all(len(pairs), FIX)
    return pairs


def to_pair(row: Row) -> Pair:
    """The pair that a row holds. Raises `RowError`, which names the field that is wrong."""
    before, chosen = _answer(row.values, "chosen")
    before_rejected, rejected = _answer(row.values, "rejected")
    if before != before_rejected:
        raise RowError("'chosen' and 'rejected' answer different conversations")
    if chosen.strip() == rejected.strip():
        raise RowError("'chosen' and 'rejected' are the same")
    prompt = _prompt(row.values)
    if before[: len(prompt)] != prompt:
        before = prompt + before
    if not before:
        raise RowError(f"there is no field 'prompt' or 'instruction', only {', '.join(row.values)}")
    if before[-1]["role"] == "assistant":
        raise RowError("the prompt ends with a message of the assistant")
    return Pair(before, chosen, rejected, row.where)


def encode_pairs(
    pairs: Iterable[Pair], tokenizer: Tokenizer, context_length: int, bad: BadRows
) -> EncodedPairs:
    """The pairs as ids in the tokenizer's chat template.

    Where a pair is longer than the context, the beginning of its prompt is cut, in both answers alike,
    and that is counted; a pair whose answer alone fills the context is noted in `bad`, as is one that
    the template refuses. Raises `InputError` if none is left.
    """
    answers: list[Answer] = []
    cut_prompts = 0
    for pair in pairs:
        try:
            whole = [_encode(pair.prompt, said, tokenizer) for said in (pair.chosen, pair.rejected)]
            fitting = _fit(whole, context_length)
        except (RowError, InputError) as error:
            bad.add(pair.where, str(error).splitlines()[0])
            continue
        answers += fitting
        cut_prompts += fitting != whole
    bad.refuse_if_all(len(answers), FIX)
    return EncodedPairs(answers, cut_prompts)


def split_pairs(pairs: Sequence[Pair], held_out: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """The pairs to learn from, and about a share of `held_out` to measure with. No prompt is in both:
    some files have several pairs for one."""
    return split_by(pairs, [str(pair.prompt) for pair in pairs], held_out, seed)


def _encode(prompt: list[Message], said: str, tokenizer: Tokenizer) -> Answer:
    """A prompt with its answer. What the template writes after the answer's end is left out."""
    ids, own = tokenizer.encode_turns([*prompt, {"role": "assistant", "content": said}])
    end = len(own) - own[::-1].index(True)
    start = end - own[:end][::-1].index(False)
    return Answer(ids[:end], start)


def _fit(answers: list[Answer], context_length: int) -> list[Answer]:
    """The answers of a pair, each no longer than a window."""
    excess = max(len(answer.ids) for answer in answers) - (context_length + 1)
    if excess <= 0:
        return answers
    if excess >= min(answer.start for answer in answers):
        longest = max(len(answer.ids) - answer.start for answer in answers)
        raise RowError(
            f"an answer of {longest} tokens leaves no room for its prompt in the context of "
            f"{context_length}"
        )
    return [Answer(answer.ids[excess:], answer.start - excess) for answer in answers]


def _answer(row: Mapping[str, Any], name: str) -> tuple[list[Message], str]:
    """The messages that a field holds before its answer, and the answer."""
    if name not in row:
        close = nearest(name, row)
        raise RowError(f"there is no field {name!r}" + (f" (but {close!r})" if close else ""))
    if not isinstance(row[name], list):
        return [], _filled(text(row[name], name), name)
    *before, last = turns(row[name], name)
    if last["role"] != "assistant":
        raise RowError(f"{name!r} does not end with a message of the assistant")
    return before, _filled(last["content"], name)


def _prompt(row: Mapping[str, Any]) -> list[Message]:
    """The messages before both answers, as far as they have fields of their own."""
    name = next((name for name in ("prompt", "instruction") if name in row), None)
    if name is None:
        return []
    if isinstance(row[name], list):
        return system(row) + turns(row[name], name)
    return [*system(row), {"role": "user", "content": _filled(with_input(row, name), name)}]


def _filled(said: str, name: str) -> str:
    if not said.strip():
        raise RowError(f"the field {name!r} is empty")
    return said
