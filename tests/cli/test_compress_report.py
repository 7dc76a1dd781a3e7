"""`groundup compress report`, as it is called."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from groundup.cli.main import run
from groundup.model.classifier import Classifier
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.classifier import save_classifier
from groundup.weights.directory import save

Called = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mine(model: GPT, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    save(model, tokenizer, tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def called(capsys: pytest.CaptureFixture[str]) -> Called:
    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            status = run([*map(str, arguments)])
        except SystemExit as left:
            status = int(left.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


@pytest.fixture
def reported(called: Called) -> Callable[..., dict]:
    def report(*arguments: object) -> dict:
        status, out, err = called("compress", "report", *arguments, "--new-tokens", 4, "--json")
        assert status == 0, err
        found = json.loads(out)
        return {row["name"]: row for row in found["variants"]} | {"report": found["report"]}

    return report


def test_of_one_model_the_variants_are_made_measured_and_kept_to_be_used(
    mine: Path, story: Path, tmp_path: Path, called: Called, reported: Callable[..., dict]
):
    out = tmp_path / "out"
    rows = reported(mine, "--text", story, "--out", out)
    page = Path(rows.pop("report")).read_text(encoding="utf-8")
    assert list(rows) == ["original", "int8", "int8-gptq", "int4"]
    written = json.loads((out / "report.json").read_text(encoding="utf-8"))["variants"]
    assert written == list(rows.values())
    assert all(name in page for name in rows) and "<svg" in page
    for name, row in rows.items():
        place = Path(row["model"])
        assert place == (mine if name == "original" else out / name)
        assert row["bytes"] == sum(f.stat().st_size for f in place.glob("*.safetensors"))
        rounds = sorted(row["tokens_per_second_rounds"])
        assert len(rounds) == 3 and row["tokens_per_second"] == rounds[1] > 0
        beaten = [
            other["name"] for other in rows.values()
            if other["bits_per_byte"] <= row["bits_per_byte"] and other["bytes"] <= row["bytes"]
            and other["tokens_per_second"] >= row["tokens_per_second"] and other is not row
        ]  # fmt: skip
        assert bool(row["dominated_by"]) == bool(beaten) and set(row["dominated_by"]) <= set(beaten)
    assert rows["int4"]["bytes"] < rows["int8"]["bytes"] < rows["original"]["bytes"]
    # What it was measured on lies beside it, and gives the same figure again.
    kept = out / "text" / "validation.jsonl"
    status, said, err = called("evaluate", out / "int4", "--text", kept, "--json")
    assert status == 0, err
    assert json.loads(said)["bits_per_byte"] == pytest.approx(rows["int4"]["bits_per_byte"])
    calibrated = (out / "text" / "train.jsonl").read_text(encoding="utf-8")
    pieces = (json.loads(part)["text"] for part in (calibrated, kept.read_text(encoding="utf-8")))
    assert "".join(pieces) == story.read_text(encoding="utf-8")


def test_variants_are_made_once_and_anew_from_another_text(
    mine: Path, story: Path, tmp_path: Path, reported: Callable[..., dict]
):
    out, other = tmp_path / "out", tmp_path / "other.txt"
    other.write_text(story.read_text(encoding="utf-8").replace("Mia", "Eva"), encoding="utf-8")
    names = ("int8", "int4", "wanda@0.5")
    files = [out / name / "model.safetensors" for name in names]
    made = []
    for text in (story, story, other):
        rows = reported(mine, "--text", text, "--variants", ",".join(names), "--out", out)
        made.append([file.stat().st_ino for file in files])
        assert list(rows) == ["original", *names, "report"]
    assert made[0] == made[1]
    assert made[2][0] == made[0][0]  # absmax looks at no text
    assert made[2][1] != made[0][1] and made[2][2] != made[0][2]


def test_named_models_are_compared_as_they_are_in_exams_too(
    mine: Path, story: Path, tmp_path: Path, called: Called, reported: Callable[..., dict]
):
    other = tmp_path / "other"
    assert called("compress", "quantize", mine, "--out", other)[0] == 0
    exam = [
        {"question": "Where is Tom?", "choices": ["garden", "kitchen"], "answer": answer}
        for answer in "ABAB"
    ]
    (tmp_path / "exam.json").write_text(json.dumps(exam), encoding="utf-8")
    rows = reported(
        mine, other, "--text", story, "--exam", tmp_path / "exam.json", "--out", tmp_path / "out"
    )
    assert list(rows) == [str(mine), str(other), "report"]
    for name in (mine, other):
        asked = ("evaluate", name, "--text", story, "--exam", tmp_path / "exam.json", "--json")
        expected = json.loads(called(*asked)[1])
        assert rows[str(name)]["bits_per_byte"] == pytest.approx(expected["bits_per_byte"])
        assert rows[str(name)]["accuracy"] == expected["accuracy"]
    # Nothing was calibrated, so all of the text is measured.
    assert not (tmp_path / "out" / "text").exists()
    shown = called(
        "compress",
        "report",
        mine,
        other,
        "--text",
        story,
        "--new-tokens",
        2,
        "--out",
        tmp_path / "o",
    )
    assert "| variant | bits per byte | MB | tokens/s | dominated by |" in shown[1]


def test_classifiers_are_compared_by_their_labels(
    tokenizer: Tokenizer, tmp_path: Path, called: Called, reported: Callable[..., dict]
):
    places = [tmp_path / "large", tmp_path / "small"]
    for layers, place in zip((4, 1), places, strict=True):
        torch.manual_seed(0)
        config = ModelConfig(
            vocab_size=tokenizer.vocab_size,
            d_model=32,
            n_layers=layers,
            n_heads=4,
            context_length=64,
        )
        save_classifier(Classifier(config, 2), tokenizer, ["a", "b"], place)
    labels = tmp_path / "labels.tsv"
    lines = [f"{'ab'[n % 2]}\tTom is here on day {n}\n" for n in range(12)]
    labels.write_text("label\ttext\n" + "".join(lines), encoding="utf-8")
    rows = reported(*places, "--classify", labels, "--out", tmp_path / "out")
    for place in places:
        row = rows[str(place)]
        expected = json.loads(called("evaluate", place, "--classify", labels, "--json")[1])
        assert row["accuracy"] == expected["accuracy"] and row["bits_per_byte"] is None
    assert rows[str(places[1])]["bytes"] < rows[str(places[0])]["bytes"]


def test_what_does_not_fit_is_one_sentence(mine: Path, story: Path, tmp_path: Path, called: Called):
    (tmp_path / "short.txt").write_text("Once.", encoding="utf-8")

    def refused(*arguments: object) -> str:
        status, out, err = called("compress", "report", *arguments, "--out", tmp_path / "out")
        assert (status, out) == (2, "") and err.count("error:") == 1, err
        return err

    text = (mine, "--text", story)
    assert "one or the other" in refused(mine)
    assert "one or the other" in refused(*text, "--classify", story)
    assert "no variants of it" in refused(mine, "--classify", story, "--variants", "int8")
    assert "did you mean 'int8'" in refused(*text, "--variants", "int9")
    assert "did you mean 'heads'" in refused(*text, "--variants", "head@0.5")
    assert "below 1" in refused(*text, "--variants", "heads@1.5")
    assert "named twice" in refused(*text, "--variants", "int8,int8")
    assert "number of tokens" in refused(*text, "--new-tokens", "none")
    assert "too short" in refused(mine, "--text", tmp_path / "short.txt")
    (tmp_path / "labels.tsv").write_text("label\ttext\na\tb\n", encoding="utf-8")
    assert "it has no labels to give" in refused(mine, "--classify", tmp_path / "labels.tsv")
