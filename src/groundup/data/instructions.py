"""Rows of instructions and answers, as they are published, made conversations.

Four kinds of rows are known by their fields, and one file may mix them: instruction, input and output
(Alpaca), prompt and completion, `conversations` (ShareGPT), `messages` (OpenAI).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.errors import nearest
from groundup.sources.rows import BadRows, read_rows

Message = dict[str, str]
"""`{"role": "system" | "user" | "assistant", "content": "…"}`."""

# What publishers call the three roles.
ROLES = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant",
}  # fmt: skip
FIX = "rows have `messages`, `conversations`, `prompt` and `completion`, or `instruction` and `output`"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said, in turn, and where it stands: "file:line"."""

    messages: list[Message]
    where: str


class RowError(ValueError):
    """What is wrong with a row, and in which field."""


def read_conversations(paths: Sequence[str | Path], bad: BadRows) -> list[Conversation]:
    """The conversations in the rows of `paths`. What is wrong with any other row is noted in `bad`.

    Raises `InputError` if there is no good row, and what `read_rows` raises."""
    found: list[Conversation] = []
    for row in read_rows(paths, bad):
        try:
            found.append(Conversation(conversation(row.values), row.where))
        except RowError as error:
            bad.add(row.where, str(error))
    bad.refuse_if_all(len(found), FIX)
    return found


def conversation(row: Mapping[str, Any]) -> list[Message]:
    """The conversation of one row, of whichever kind: system, user, assistant, user, …

    Raises `RowError` for a row of no kind, with the nearest names of fields; for an unknown role; for
    an empty text, and for one without an answer or that begins with it."""
    messages = KINDS[_kind(row)](row)
    for number, message in enumerate(messages):
        if not message["content"].strip():
            name = "answer" if message["role"] == "assistant" else message["role"]
            raise RowError(f"message {number + 1} ({name}) is empty")
    said = [message["role"] for message in messages if message["role"] != "system"]
    if "assistant" not in said:
        raise RowError("there is no answer: no turn of the assistant")
    if said[0] == "assistant":
        raise RowError("it begins with the assistant")
    return messages


def _kind(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields of the kind that a row is of."""
    for fields in KINDS:
        if all(row.get(name) is not None for name in fields):
            return fields
    likeness = {fields: sum(_like(name, row) for name in fields) / len(fields) for fields in KINDS}
    fields = max(likeness, key=likeness.__getitem__)
    if not likeness[fields]:
        raise RowError(f"no field of a conversation; it has {', '.join(map(str, row))}: {FIX}")
    missing = next(name for name in fields if row.get(name) is None)
    if missing in row:
        raise RowError(f"the field {missing!r} is empty")
    known = {name for kind in KINDS for name in (*kind, "input", "system")}
    close = nearest(missing, [name for name in row if name not in known])
    hint = f": did you mean it by {close!r}?" if close else f"; it has {', '.join(map(str, row))}"
    raise RowError(f"the field {missing!r} is missing{hint}")


def _like(name: str, row: Mapping[str, Any]) -> float:
    """1 for a row that has this field, less for one that has something like it."""
    return 1.0 if name in row else 0.5 * (nearest(name, row) is not None)


def _alpaca(row: Mapping[str, Any]) -> list[Message]:
    """Instruction, perhaps an input to it, output (Taori et al. 2023)."""
    return _exchange(row, with_input(row, "instruction"), _answer(row, "output"))


def with_input(row: Mapping[str, Any], field: str) -> str:
    """An instruction, and under it the input that it is about, if there is one."""
    parts = [text(row[field], field)]
    if row.get("input"):
        parts.append(text(row["input"], "input"))
    return "\n\n".join(parts)


def _completion(row: Mapping[str, Any]) -> list[Message]:
    return _exchange(row, text(row["prompt"], "prompt"), _answer(row, "completion"))


def _answer(row: Mapping[str, Any], field: str) -> str:
    answer = text(row[field], field)
    if not answer.strip():
        raise RowError(f"the field {field!r} is empty")
    return answer


def _exchange(row: Mapping[str, Any], question: str, answer: str) -> list[Message]:
    turns = [("user", question), ("assistant", answer)]
    return system(row) + [{"role": role, "content": text} for role, text in turns]


def _sharegpt(row: Mapping[str, Any]) -> list[Message]:
    return system(row) + turns(row["conversations"], "conversations")


def _openai(row: Mapping[str, Any]) -> list[Message]:
    return turns(row["messages"], "messages")


def system(row: Mapping[str, Any]) -> list[Message]:
    """A system message that stands in a field of its own."""
    said = row.get("system")
    return [{"role": "system", "content": text(said, "system")}] if said else []


def turns(value: Any, field: str) -> list[Message]:
    """The messages in a list of turns of either kind."""
    if not isinstance(value, list) or not value:
        raise RowError(f"the field {field!r} is no list of turns, or empty")
    return [_turn(turn, f"{field}[{i}]") for i, turn in enumerate(value)]


def _turn(turn: Any, where: str) -> Message:
    """A turn of either kind: `role` and `content`, or `from` and `value`."""
    if not isinstance(turn, Mapping):
        raise RowError(f"{where} is no object")
    role_field, text_field = ("from", "value") if "from" in turn else ("role", "content")
    for name in (role_field, text_field):
        if turn.get(name) is None:
            raise RowError(f"{where}.{name} is missing; it has {', '.join(map(str, turn))}")
    role = turn[role_field]
    if role not in ROLES:
        close = nearest(str(role), ROLES)
        hint = f"did you mean {close!r}?" if close else f"known: {', '.join(ROLES)}"
        raise RowError(f"{where}.{role_field} is the unknown role {role!r}: {hint}")
    return {"role": ROLES[role], "content": text(turn[text_field], f"{where}.{text_field}")}


def text(value: Any, name: str) -> str:
    """The value of a field, if it is text."""
    if not isinstance(value, str):
        raise RowError(f"{name} is no text: {str(value)[:60]!r}")
    return value


KINDS: dict[tuple[str, ...], Callable[[Mapping[str, Any]], list[Message]]] = {
    ("messages",): _openai,
    ("conversations",): _sharegpt,
    ("prompt", "completion"): _completion,
    ("instruction", "output"): _alpaca,
}
