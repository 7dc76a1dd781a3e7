"""Rows of every published kind become conversations; bad ones are named with line and field."""

import json
from pathlib import Path

import pytest

from groundup.data.instructions import RowError, conversation, read_conversations
from groundup.errors import InputError
from groundup.sources.rows import BadRows

ASKED = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}]
SYSTEM = {"role": "system", "content": "Be kind."}
KINDS = [
    {"instruction": "Where?", "input": "", "output": "Here."},
    {"instruction": "Where?", "output": "Here."},
    {"prompt": "Where?", "completion": "Here."},
    {"conversations": [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "Here."}]},
    {"conversations": ASKED},
    {"messages": ASKED},
]


@pytest.mark.parametrize("row", KINDS)
def test_every_kind_of_row_is_known_by_its_fields(row: dict):
    assert conversation(row) == ASKED
    if "messages" not in row:
        assert conversation(row | {"system": "Be kind."}) == [SYSTEM, *ASKED]


def test_an_input_follows_its_instruction_and_a_conversation_has_many_turns():
    row = {"instruction": "Translate:", "input": "Haus", "output": "house"}
    assert conversation(row)[0]["content"] == "Translate:\n\nHaus"
    assert conversation({"messages": [SYSTEM, *ASKED, *ASKED]}) == [SYSTEM, *ASKED, *ASKED]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"instruction": "a", "ouput": "b"}, "'output' is missing: did you mean it by 'ouput'?"),
        ({"instrction": "a", "output": "b"}, "'instruction' is missing: .* 'instrction'"),
        ({"prompt": "a", "answer": "b"}, "'completion' is missing; it has prompt, answer"),
        ({"prompt": "a", "completion": None}, "'completion' is empty"),
        ({"number": 3}, "no field of a conversation; it has number: rows have `messages`"),
        ({"instruction": "a", "output": " \n"}, "'output' is empty"),
        ({"prompt": "", "completion": "b"}, r"message 1 \(user\) is empty"),
        ({"prompt": ["a"], "completion": "b"}, "prompt is no text"),
        ({"messages": "a"}, "'messages' is no list of turns"),
        ({"messages": []}, "'messages' is no list of turns, or empty"),
        ({"messages": ["a"]}, r"messages\[0\] is no object"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\].content is missing; it has role"),
        ({"messages": ASKED[1:]}, "begins with the assistant"),
        ({"messages": [SYSTEM, *ASKED[1:]]}, "begins with the assistant"),
        ({"messages": ASKED[:1]}, "no turn of the assistant"),
        (
            {"conversations": [{"from": "humn", "value": "a"}]},
            r"conversations\[0\].from is the unknown role 'humn': did you mean 'human'\?",
        ),
        ({"messages": [ASKED[0], {"role": "assistant", "content": ""}]}, r"message 2 \(answer\)"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_field(row: dict, said: str):
    with pytest.raises(RowError, match=said):
        conversation(row)


def test_bad_rows_are_listed_with_their_lines_and_the_good_ones_kept(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    rows = [*KINDS, {"prompt": "a", "completion": ""}, {"messages": ASKED[:1]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no json\n")
    bad = BadRows()
    found = read_conversations([path], bad)
    assert [one.messages for one in found] == [ASKED] * len(KINDS)
    assert found[2].where == f"{path}:3"
    assert [where for where, _ in bad.problems] == [f"{path}:{line}" for line in (7, 8, 9)]
    assert bad.summary(len(found)).startswith("3 of 9 rows left out")


def test_a_file_without_a_good_row_is_refused(tmp_path: Path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"text": "a"}, {"text": "b"}]))
    with pytest.raises(InputError, match="none of 2 rows is of use") as error:
        read_conversations([path], BadRows())
    assert "row 1" in str(error.value) and "`prompt` and `completion`" in str(error.value)


def test_real_rows_become_conversations(real_data: Path):
    for name, rows in (("en/instructions.json", 1100), ("zh/legal-qa.jsonl", 5000),
                       ("zh/medical-qa.jsonl", 8000)):  # fmt: skip
        bad = BadRows()
        found = read_conversations([real_data / name], bad)
        assert len(found) + len(bad) >= rows and len(bad) < rows / 100, bad.summary(len(found))
