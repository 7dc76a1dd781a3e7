"""Rows with a chosen and a rejected answer → batches."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.data.order import drawn
from groundup.data.pairs import encode_pairs, read_pairs, split_pairs, to_pair
from groundup.errors import InputError
from groundup.sources.rows import BadRows, Row, read_rows
from groundup.tokenizer.tokenizer import Tokenizer

ROW = {"prompt": "Where is Tom?", "chosen": "Tom is in the kitchen.", "rejected": "Who cares?"}
USER = {"role": "user", "content": "Where is Tom?"}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def as_written(values: dict) -> tuple:
    pair = to_pair(Row(values, "file:1"))
    return pair.prompt, pair.chosen, pair.rejected


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Where is Tom?", "chosen": "A", "rejected": "B"},
        {"instruction": "Where is Tom?", "input": "", "chosen": "A", "rejected": "B"},
        {
            "instruction": "Where is Tom?",
            "input": None,
            "output": "A",
            "chosen": "A",
            "rejected": "B",
        },
        {"prompt": [USER], "chosen": "A", "rejected": "B"},
        {"prompt": [USER], "chosen": [said("A")], "rejected": [said("B")]},
        {"chosen": [USER, said("A")], "rejected": [USER, said("B")]},
        {
            "chosen": [{"from": "human", "value": "Where is Tom?"}, said("A")],
            "rejected": [USER, {"from": "gpt", "value": "B"}],
        },
        {"prompt": "Where is Tom?", "chosen": [USER, said("A")], "rejected": [USER, said("B")]},
    ],
)
def test_a_pair_may_be_written_in_many_ways(row: dict):
    assert as_written(row) == ([USER], "A", "B")


def test_an_instruction_and_its_input_are_one_message():
    row = {"instruction": "Translate.", "input": "Hund", "chosen": "dog", "rejected": "cat"}
    assert as_written(row)[0] == [{"role": "user", "content": "Translate.\n\nHund"}]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"chosen": "Who cares? "}, "'chosen' and 'rejected' are the same"),
        ({"rejected": ""}, "the field 'rejected' is empty"),
        ({"chosen": None}, "chosen is no text"),
        ({"prompt": "  "}, "the field 'prompt' is empty"),
        ({"rejected": ...}, "there is no field 'rejected'"),
        ({"chosen": ..., "choosen": "x"}, "there is no field 'chosen' (but 'choosen')"),
        ({"prompt": ...}, "there is no field 'prompt'"),
        ({"prompt": [USER, said("Hm.")]}, "ends with a message of the assistant"),
        ({"chosen": [USER]}, "'chosen' does not end with a message of the assistant"),
        ({"chosen": ["Tom"]}, "chosen[0] is no object"),
        ({"chosen": [{"role": "robot", "content": "A"}]}, "unknown role 'robot'"),
        ({"chosen": []}, "the field 'chosen' is no list of turns, or empty"),
        ({"chosen": [USER, said("A")]}, "answer different conversations"),
    ],
)
def test_a_row_that_is_no_pair_is_noted_with_its_line_and_field(
    change: dict, problem: str, tmp_path: Path
):
    wrong = {name: value for name, value in (ROW | change).items() if value is not ...}
    path, bad = tmp_path / "pairs.jsonl", BadRows()
    path.write_text("\n".join(map(json.dumps, [ROW, wrong, ROW])), encoding="utf-8")
    assert len(read_pairs(read_rows([path]), bad)) == 2
    [(where, what)] = bad.problems
    assert where == f"{path}:2" and problem in what


def test_a_file_without_any_pair_is_refused():
    rows = [Row({"text": "no pair"}, f"file:{n}") for n in (1, 2, 3)]
    with pytest.raises(InputError, match="none of 3 rows is of use") as error:
        read_pairs(rows, BadRows())
    assert "chosen" in str(error.value) and "file:1" in str(error.value)


def pair(prompt: str = "Where is Tom?", chosen: str = "In the kitchen.", rejected: str = "What?"):
    values = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return to_pair(Row(values, "pairs.jsonl:7"))


def test_the_answers_and_their_end_tokens_are_weighted_and_nothing_else(tokenizer: Tokenizer):
    encoded = encode_pairs(
        [pair(), pair("Who?", "Mia.", "Tom, I think.")], tokenizer, 64, BadRows()
    )
    batch = encoded.batch([0, 1])
    answers = ["In the kitchen.", "What?", "Mia.", "Tom, I think."]
    for ids, weights, answer in zip(batch.ids, batch.weights, answers, strict=True):
        assert tokenizer.decode(ids[1:][weights == 1].tolist()) == f" {answer}<|end|>"
    assert batch.weights.shape == (4, batch.ids.shape[1] - 1) and batch.reference is None
    assert batch.tokens == sum(len(answer.ids) - 1 for answer in encoded.answers)


def test_each_answer_keeps_its_reference(tokenizer: Tokenizer):
    encoded = encode_pairs([pair(), pair("Who?"), pair("Why?")], tokenizer, 64, BadRows())
    encoded = encoded.with_reference(np.arange(6, dtype=np.float32))
    assert encoded.batch([2, 0]).reference.tolist() == [4, 5, 0, 1]


def test_a_prompt_that_is_too_long_loses_its_beginning_in_both_answers(tokenizer: Tokenizer):
    bad = BadRows()
    long = pair("Mia is in the garden. " * 9 + "Where is Tom?")
    encoded = encode_pairs([long, pair()], tokenizer, 32, bad)
    assert (encoded.cut_prompts, len(encoded), len(bad)) == (1, 2, 0)
    chosen, rejected = encoded.answers[:2]
    assert chosen.ids[: chosen.start] == rejected.ids[: rejected.start]
    assert max(len(chosen.ids), len(rejected.ids)) == 33
    assert "Where is Tom?<|end|>" in tokenizer.decode(rejected.ids)
    assert tokenizer.decode(chosen.ids[chosen.start :]) == " In the kitchen.<|end|>"


def test_an_answer_that_fills_the_context_is_noted(tokenizer: Tokenizer):
    bad = BadRows()
    encoded = encode_pairs([pair(rejected="no, " * 50), pair()], tokenizer, 32, bad)
    assert len(encoded) == 1
    [(where, what)] = bad.problems
    assert where == "pairs.jsonl:7" and "context of 32" in what


def test_no_prompt_is_both_learned_from_and_measured_with():
    pairs = [pair(f"Question {n % 40}?", f"{n}") for n in range(100)]
    learned, held_out = split_pairs(pairs, 0.2, seed=1)
    asked = [{str(pair.prompt) for pair in part} for part in (learned, held_out)]
    assert not asked[0] & asked[1] and len(asked[1]) == 8
    assert len(learned) + len(held_out) == 100
    assert split_pairs(pairs, 0.2, seed=1) == (learned, held_out)
    assert split_pairs(pairs, 0.2, seed=2) != (learned, held_out)


@given(st.integers(1, 7), st.integers(1, 12), st.integers(0, 5))
def test_every_example_comes_once_an_epoch_and_each_epoch_has_its_own_order(size, count, seed):
    stream = np.concatenate([drawn(n, size, count, seed) for n in range(3 * count)]).tolist()
    epochs = [stream[start : start + count] for start in range(0, 3 * size * count, count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert drawn(2, size, count, seed).tolist() == stream[2 * size : 3 * size]


def test_the_published_preferences_are_pairs_but_for_those_that_are_none(real_data: Path):
    bad = BadRows()
    path = real_data / "en" / "preferences.json"
    pairs = read_pairs(read_rows([path], bad), bad)
    written = json.loads(path.read_text(encoding="utf-8"))
    same = sum(row["chosen"].strip() == row["rejected"].strip() for row in written)
    assert len(bad) == same > 0 and len(pairs) == len(written) - same
    assert all("are the same" in what and ", row " in where for where, what in bad.problems)
