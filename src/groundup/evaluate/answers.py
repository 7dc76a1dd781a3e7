"""Questions, and what several models answer to them: by their weights, or as they were written down."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from groundup.evaluate.kept import Kept
from groundup.generation.engine import Engine
from groundup.generation.sampling import SamplingConfig
from groundup.generation.text import Completion, complete
from groundup.model.gpt import GPT
from groundup.sources.rows import BadRows, Row, read_rows
from groundup.tokenizer.tokenizer import Tokenizer

QUESTION_FIELDS = ("instruction", "prompt", "question")
INPUT_FIELD = "input"
REFERENCE_FIELDS = ("output", "completion", "response", "answer", "chosen")
# What a file of somebody's answers calls them, the first that it has.
ANSWER_FIELDS = ("model_response", "response", "answer", "completion", "output")
ROWS_LOOK_LIKE = 'rows look like {"instruction": "…", "input": "…", "output": "…"}'
REFERENCE = "reference"


@dataclass(eq=False)
class Case:
    """A question with the answers of several models, by their names."""

    question: str
    reference: str | None
    where: str
    answers: dict[str, str] = field(default_factory=dict)


class Answer(NamedTuple):
    """What a model said, and whether it was cut off at the longest answer allowed."""

    text: str
    is_cut: bool


def read_cases(paths: Sequence[str], fields: Sequence[str], bad: BadRows) -> list[Case]:
    """The questions of files of rows, with the answers that stand in their `fields`.

    A row has an instruction (or prompt, or question), perhaps an input, and perhaps an output, the
    reference. A row without a question or without one of the `fields` goes to `bad`. Raises
    `InputError` if no row is of use.
    """
    cases = [case for row in read_rows(paths, bad) if (case := _case(row, fields, bad))]
    bad.refuse_if_all(len(cases), ROWS_LOOK_LIKE)
    return cases


def add_answers(cases: Iterable[Case], name: str, path: str, bad: BadRows) -> None:
    """Give to `cases` the answers that stand in another file, by their questions: its rows have the
    question as the cases' rows have it, and the answer as `model_response`, `answer`, …"""
    answers = {}
    for row in read_rows([path], bad):
        question, answer = _question(row), _answer(row)
        if question is None or answer is None:
            lacking = QUESTION_FIELDS if question is None else ANSWER_FIELDS
            bad.add(row.where, f"no field {', '.join(lacking)}")
        else:
            answers[question] = answer
    for case in cases:
        if case.question in answers:
            case.answers[name] = answers[case.question]


def complete_cases(cases: Iterable[Case], names: Iterable[str], bad: BadRows) -> list[Case]:
    """The cases that all of `names` have answered; the others go to `bad`."""
    names, kept = list(names), []
    for case in cases:
        lacking = [name for name in names if name not in case.answers]
        if lacking:
            bad.add(case.where, f"no answer of {', '.join(lacking)}")
        else:
            kept.append(case)
    return kept


def answer_with(
    model: GPT,
    tokenizer: Tokenizer,
    questions: Sequence[str],
    max_new_tokens: int,
    kept: Kept,
    identity: str,
) -> list[Answer | None]:
    """The greedy answers of a model, None where the question is too long for it. Those that are `kept`
    under the model's `identity` (a checksum of its weights) are not made again."""
    engine = Engine(model)
    sampling = SamplingConfig(temperature=0, max_new_tokens=max_new_tokens)
    answers = []
    for question in questions:
        prompt = prompt_ids(tokenizer, question)
        if len(prompt) >= engine.context_length:
            answers.append(None)
            continue
        asked = [identity, prompt, max_new_tokens]
        written = kept.get(asked)
        if written is None:
            completion = Completion(prompt)
            text = "".join(complete(engine, tokenizer, completion, sampling)).strip()
            written = json.dumps([text, completion.finish_reason == "length"], ensure_ascii=False)
            kept.add(asked, written, f"answer to {question[:80]}")
        answers.append(Answer(*json.loads(written)))
    return answers


def prompt_ids(tokenizer: Tokenizer, question: str) -> list[int]:
    """A question as the model knows questions: a turn of the user's, or else plain text."""
    if tokenizer.knows_turns:
        turns = [{"role": "user", "content": question}]
        return tokenizer.encode_chat(turns, add_generation_prompt=True)
    return tokenizer.encode_prompt(question + "\n")


def _case(row: Row, fields: Sequence[str], bad: BadRows) -> Case | None:
    question = _question(row)
    if question is None:
        bad.add(row.where, f"no field {', '.join(QUESTION_FIELDS)}")
        return None
    absent = [name for name in fields if row.values.get(name) is None]
    if absent:
        bad.add(row.where, f"no field {absent[0]!r}: it has {', '.join(row.values)}")
        return None
    answers = {name: str(row.values[name]).strip() for name in fields}
    return Case(question, _first(row, REFERENCE_FIELDS), row.where, answers)


def _question(row: Row) -> str | None:
    """Instruction and input as one text."""
    instruction = _first(row, QUESTION_FIELDS)
    extra = _text(row.values.get(INPUT_FIELD))
    return instruction and (f"{instruction}\n\n{extra}" if extra else instruction)


def _answer(row: Row) -> str | None:
    """A model may have said nothing: that is an answer too."""
    said = (row.values.get(name) for name in ANSWER_FIELDS)
    return next((str(text).strip() for text in said if text is not None), None)


def _first(row: Row, names: Iterable[str]) -> str | None:
    """The first of these fields that says something."""
    return next((text for name in names if (text := _text(row.values.get(name)))), None)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
