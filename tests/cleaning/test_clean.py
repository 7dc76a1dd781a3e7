"""Steps as a recipe names them, their run over a stream, and the record of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.cleaning.clean import STEPS, clean
from groundup.cleaning.step import MOST_EXAMPLES, TextStep
from groundup.errors import InputError
from groundup.settings import Settings
from groundup.sources.read import Piece, read_pieces
from tests.cleaning.conftest import Data, cleaned, pieces, steps


class WithoutX(TextStep):
    """A step of a test's own: the smallest there is."""

    step: str = "without_x"

    def clean(self, text: str) -> str | None:
        return None if text.startswith("x") else text.replace("x", "")


def test_a_name_is_a_step_with_its_defaults_and_a_table_sets_more():
    short, long = steps("simplify", {"step": "simplify", "to": "traditional"})
    assert short.to == "simplified" and long.to == "traditional"
    dumped = Data(clean=[short, long]).model_dump()
    assert dumped["clean"][0] == {"step": "simplify", "to": "simplified"}
    assert Data.parse(dumped).clean == [short, long]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("unicod", ["data.clean.1", "did you mean 'unicode'?", "not 'unicod'"]),
        ({"to": "simplified"}, ["data.clean.1", "must be a cleaning step, one of repair"]),
        (7, ["data.clean.1", "not 7"]),
        ({"step": "unicode", "frm": "NFC"}, ["unicode.frm", "did you mean 'form'?"]),
        ({"step": "length", "fewest": -1}, ["length.fewest", "not -1"]),
        ({"step": "length", "fewest": 9, "most": 3}, ["fewest (9) is more than most (3)"]),
        ({"step": "personal", "regions": ["EN"]}, ["'EN' is no ISO 3166 code"]),
        ({"step": "language", "keep": ["cn"]}, ["'cn' is no known ISO 639-1 code"]),
    ],
)
def test_unknown_steps_and_settings_are_refused_with_the_nearest(step: object, said: list[str]):
    class Recipe(Settings):
        data: Data = Data()

    with pytest.raises(InputError) as error:
        Recipe.parse({"data": {"clean": ["repair", step]}}, "recipe.toml")
    assert all(part in str(error.value) for part in [*said, "recipe.toml"])


def test_no_library_is_loaded_before_a_step_needs_it():
    program = "import sys, groundup.cleaning.clean; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout.split()  # fmt: skip
    assert "groundup.cleaning.personal" in loaded
    assert not {"torch", "ftfy", "opencc", "py3langid", "phonenumbers", "stdnum"} & set(loaded)


def test_the_record_counts_documents_and_characters_and_keeps_examples():
    documents = pieces("ax", "xb", "c", *["dx"] * 9)
    stream, [record] = clean(documents, [WithoutX()])
    assert record.seen.documents == 0  # nothing happens before the stream is drawn
    assert [piece.text for piece in stream] == ["a", "c", *["d"] * 9]
    values = json.loads(json.dumps(record.to_json()))
    assert values["step"] == "without_x"
    assert values["seen"] == {"documents": 12, "characters": 23}
    assert values["changed"] == {"documents": 10, "characters": 20}
    assert values["removed"] == {"documents": 1, "characters": 2 + 10}
    assert len(values["examples"]) == MOST_EXAMPLES
    assert values["examples"][:2] == [
        {"where": "file:1", "before": "ax", "after": "a"},
        {"where": "file:2", "before": "xb", "after": None},
    ]


def test_an_example_shows_the_place_of_the_change_in_a_long_text():
    _, record = cleaned(pieces("山" * 1_000_000 + "電話" + "水" * 1000), "simplify")
    [example] = record.examples
    assert "山電話水" in example.before and example.after and "山电话水" in example.after
    assert len(example.before) <= 200


def test_a_document_that_loses_its_first_piece_begins_with_the_next():
    long = [Piece("x1", True, "f"), Piece("2x", False, "f"), Piece("3", False, "f")]
    stream, [record] = clean([*long, *pieces("x")], [WithoutX()])
    assert [(piece.text, piece.starts_document) for piece in stream] == [("2", True), ("3", False)]
    assert (record.seen.documents, record.changed.documents, record.removed.documents) == (2, 1, 1)
    assert record.removed.characters == 2 + 1 + 1


def test_a_document_is_counted_as_changed_once_whichever_piece_is():
    long = [Piece("1", True, "f"), Piece("2x", False, "f"), Piece("3x", False, "f")]
    stream, [record] = clean(long, [WithoutX()])
    assert [piece.starts_document for piece in stream] == [True, False, False]
    assert record.changed.documents == 1 and record.removed.documents == 0


def test_a_filter_judges_a_document_by_its_first_piece():
    long = [Piece("short", True, "f"), Piece("much longer text", False, "f")]
    texts, record = cleaned([*long, *pieces("long enough text")], "length")
    assert texts == ["long enough text"] and record.removed.documents == 1
    assert record.removed.characters == len("shortmuch longer text")


def test_steps_follow_each_other_and_each_has_its_record():
    documents = pieces("電話：１３８１２３４５６７８\u200b", "电话：13812345678", "太短")
    named = ["unicode", "width", "simplify", "exact_duplicates", {"step": "length", "fewest": 5},
             "personal"]  # fmt: skip
    stream, records = clean(documents, steps(*named))
    assert [piece.text for piece in stream] == ["电话：[PHONE]"]
    assert [record.step for record in records] == ["unicode", "width", "simplify",
        "exact_duplicates", "length", "personal"]  # fmt: skip
    assert [record.seen.documents for record in records] == [3, 3, 3, 3, 2, 1]


@pytest.mark.parametrize("name", ["en/tinyshakespeare.txt", "zh/legal-qa.jsonl"])
@pytest.mark.parametrize("step", STEPS)
def test_real_clean_text_is_left_nearly_untouched(step: str, name: str, real_data: Path):
    documents = list(read_pieces([real_data / name]))[:300]
    _, record = cleaned(documents, step)
    assert record.seen.characters == sum(len(piece.text) for piece in documents)
    if step == "unicode":  # a few lines end in spaces
        assert record.removed.documents == 0 and record.removed.characters < 10
    elif step == "repetition":  # one answer in 300 gives the same reason four times
        assert record.removed.documents <= 1
    else:
        assert record.examples == []
