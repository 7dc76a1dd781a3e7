"""`groundup classify` as a user runs it."""

import json
from pathlib import Path

import pytest

from groundup.cli.main import run
from groundup.evaluate.prediction import predict
from groundup.model.classifier import Classifier
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.classifier import load_classifier, save_classifier
from groundup.weights.directory import save
from tests.conftest import groundup

TEXTS = ["Mia is in the garden.", "小明在花园。"]


@pytest.fixture
def directory(model: GPT, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    classifier = Classifier.from_gpt(model, 2, "mean")
    save_classifier(classifier, tokenizer, ["ham", "垃圾"], tmp_path / "labels")
    return tmp_path / "labels"


def test_texts_are_labelled_from_arguments_and_from_lines(directory: Path, capsys):
    given = groundup("classify", directory, "--json", stdin="\n".join(TEXTS) + "\n\n")
    assert given.returncode == 0 and given.stderr == ""
    result = json.loads(given.stdout)
    classifier, tokenizer, labels = load_classifier(directory)
    wanted = predict(classifier, tokenizer, TEXTS)
    assert result["labels"] == [labels[i] for i in wanted.argmax(axis=1)]
    for row, told in zip(wanted, result["probabilities"], strict=True):
        assert [told[label] for label in labels] == pytest.approx(row.tolist(), abs=1e-6)
    assert run(["classify", str(directory), *TEXTS]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(line[0], line[2]) for line in lines] == list(zip(result["labels"], TEXTS, strict=True))


def test_what_gives_no_labels_is_refused_in_a_sentence(
    model: GPT, tokenizer: Tokenizer, directory: Path, tmp_path: Path, capsys
):
    save(model, tokenizer, tmp_path / "words")
    for arguments, said in (
        (["classify", tmp_path / "words", "x"], "it has no labels to give"),
        (["generate", directory, "--prompt", "x"], "gives labels to texts"),
        (["classify", tmp_path / "nothing", "x"], "no such model"),
    ):
        assert run([str(argument) for argument in arguments]) == 2
        told = capsys.readouterr()
        assert said in told.err and told.out == ""
    given = groundup("classify", directory, stdin="\n")
    assert given.returncode == 2 and "there is no text to label" in given.stderr
