"""Questions, with what several who answer have said to them."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.data.instructions import Message, RowError, conversation
from groundup.errors import InputError
from groundup.language import N_
from groundup.sources.rows import BadRows, Row, read_rows

QUESTION_FIELDS = ("instruction", "prompt", "question")
INPUT_FIELD = "input"
CONVERSATION_FIELDS = {"messages", "conversations"}
REFERENCE_FIELDS = ("output", "completion", "response", "answer", "chosen")
# What a file of somebody's answers calls them, the first that it has.
ANSWER_FIELDS = ("model_response", "response", "answer", "completion", "output")
ROWS_LOOK_LIKE = N_('rows look like {"instruction": "…", "input": "…", "output": "…"}')
REFERENCE = "reference"


@dataclass(eq=False)
class Case:
    """A question with the answers of several models, by their names."""

    turns: list[Message]
    """What is said before the answer: mostly one turn of the user's."""
    reference: str | None
    where: str
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def question(self) -> str:
        """The turns as one text."""
        if len(self.turns) == 1:
            return self.turns[0]["content"]
        return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in self.turns)


def asked(question: str) -> list[Message]:
    """A question as the only turn of a conversation."""
    return [{"role": "user", "content": question}]


def names_of(models: Sequence[str], written: Sequence[str]) -> list[str]:
    """What those who answer are called: models by their paths, files of answers by their own names,
    fields of rows as they are. Raises `InputError` if there is nobody, or if one name stands for two, or
    for the reference."""
    names = [*models, *(_name(place) for place in written)]
    if not names:
        fix = N_("name a model, or files or fields with --answers")
        raise InputError("nobody answers the questions", None, fix)
    for name, count in Counter([*names, REFERENCE]).items():
        if count > 1:
            fix = N_("rename a file or a field")
            raise InputError(f"the name {name!r} stands for two who answer", "--answers", fix)
    return names


def _name(place: str) -> str:
    return Path(place).stem if Path(place).is_file() else place


def contestants(case: Case) -> list[str]:
    """Whose answers to a question are compared: the models', or the only model's and the reference."""
    alone = len(case.answers) == 1 and case.reference is not None
    return [*case.answers, *([REFERENCE] if alone else [])]


def answer_of(case: Case, name: str) -> str:
    """The answer of a contestant."""
    return case.reference or "" if name == REFERENCE else case.answers[name]


def read_cases(paths: Sequence[str], written: Sequence[str], bad: BadRows) -> list[Case]:
    """The questions of files of rows, with the answers that are `written`: in a file of their own, or in
    a field of these rows.

    A row has an instruction (or prompt, or question), perhaps an input, and perhaps an output, the
    reference; or it is a conversation, whose last answer is the reference. A row without a question or
    without one of the fields goes to `bad`. Raises `InputError` if no row is of use.
    """
    fields = [name for name in written if not Path(name).is_file()]
    cases = [case for row in read_rows(paths, bad) if (case := _case(row, fields, bad))]
    bad.refuse_if_all(len(cases), ROWS_LOOK_LIKE)
    for place in written:
        if place not in fields:
            _add_answers(cases, _name(place), place, bad)
    return cases


def _add_answers(cases: Iterable[Case], name: str, path: str, bad: BadRows) -> None:
    """Give to `cases` the answers that stand in another file, by their questions: its rows have the
    question as the cases' rows have it, and the answer as `model_response`, `answer`, …"""
    answers = {}
    for row in read_rows([path], bad):
        answer = _answer(row)
        case = _case(row, [], bad)
        if case and answer is None:
            bad.add(
                row.where,
                N_(f"no field {', '.join(ANSWER_FIELDS)}; it has {', '.join(row.values)}"),
            )
        elif case and answer is not None:
            answers[case.question] = answer
    for case in cases:
        if case.question in answers:
            case.answers[name] = answers[case.question]


def drawn(cases: Sequence[Case], count: int | None, seed: int) -> list[Case]:
    """So many of `cases`, in their order; all of them if `count` is None or larger."""
    if count is None or count >= len(cases):
        return list(cases)
    chosen = random.Random(seed).sample(range(len(cases)), count)
    return [cases[index] for index in sorted(chosen)]


def complete_cases(cases: Iterable[Case], names: Iterable[str], bad: BadRows) -> list[Case]:
    """The cases that all of `names` have answered; the others go to `bad`. Raises `InputError` if there
    is none."""
    names, kept = list(names), []
    for case in cases:
        lacking = [name for name in names if name not in case.answers]
        if lacking:
            bad.add(case.where, N_(f"no answer of {', '.join(lacking)}"))
        else:
            kept.append(case)
    bad.refuse_if_all(len(kept), ROWS_LOOK_LIKE)
    return kept


def _case(row: Row, fields: Sequence[str], bad: BadRows) -> Case | None:
    try:
        turns, reference = _turns(row)
    except RowError as error:
        bad.add(row.where, str(error))
        return None
    absent = [name for name in fields if row.values.get(name) is None]
    if absent:
        bad.add(row.where, N_(f"no field {absent[0]!r}: it has {', '.join(row.values)}"))
        return None
    answers = {name: str(row.values[name]).strip() for name in fields}
    return Case(turns, reference, row.where, answers)


def _turns(row: Row) -> tuple[list[Message], str | None]:
    """What is said before the answer, and the answer that the row itself has, if any."""
    if not CONVERSATION_FIELDS.isdisjoint(row.values):
        turns = conversation(row.values)
        is_answered = turns[-1]["role"] == "assistant"
        return (turns[:-1], turns[-1]["content"]) if is_answered else (turns, None)
    instruction = _first(row, QUESTION_FIELDS)
    if instruction is None:
        raise RowError(N_(f"no field {', '.join(QUESTION_FIELDS)}; it has {', '.join(row.values)}"))
    extra = _text(row.values.get(INPUT_FIELD))
    question = f"{instruction}\n\n{extra}" if extra else instruction
    return asked(question), _first(row, REFERENCE_FIELDS)


def _answer(row: Row) -> str | None:
    """A model may have said nothing: that is an answer too."""
    said = (row.values.get(name) for name in ANSWER_FIELDS)
    return next((str(text).strip() for text in said if text is not None), None)


def _first(row: Row, names: Iterable[str]) -> str | None:
    """The first of these fields that says something."""
    return next((text for name in names if (text := _text(row.values.get(name)))), None)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
