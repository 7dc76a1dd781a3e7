"""Model directories with labels: ours and those of `transformers`, in and out."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import groundup
from groundup.errors import CorruptFileError, InputError
from groundup.model.classifier import Classifier
from groundup.model.gpt import GPT
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.weights.classifier import load_classifier, save_classifier
from groundup.weights.families import FAMILIES
from tests.weights.test_families import CASES, SMALL

LABELS = ["ham", "spam", "垃圾"]
LENGTHS = torch.tensor([19, 5, 12, 1])


@pytest.fixture(scope="module", params=CASES)
def published(request, tokenizer: Tokenizer, tmp_path_factory) -> tuple[Any, Path]:
    """A random `…ForSequenceClassification` with weights large enough to matter, in a directory."""
    name, given = CASES[request.param]
    torch.manual_seed(7)
    base = {} if name == "GPT2Config" else SMALL
    more = {
        "vocab_size": tokenizer.vocab_size, "pad_token_id": tokenizer.end_of_text_id,
        "id2label": dict(enumerate(LABELS)),
    }  # fmt: skip
    config = getattr(transformers, name)(**{**base, **given, **more})
    theirs = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(folder)
    tokenizer.save(folder)
    return theirs, folder


def their_logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Of a padded batch, as a user of theirs gives it: with the mask of the tokenizer."""
    mask = (torch.arange(ids.shape[1]) < LENGTHS[:, None]).long()
    with torch.no_grad():
        return model(ids, attention_mask=mask, use_cache=False).logits


def padded(tokenizer: Tokenizer) -> torch.Tensor:
    ids = torch.randint(0, 256, (len(LENGTHS), int(LENGTHS.max())))
    return ids.where(torch.arange(ids.shape[1]) < LENGTHS[:, None], tokenizer.end_of_text_id)


def test_a_classifier_of_every_family_comes_in_and_goes_out(published, tokenizer, tmp_path: Path):
    theirs, folder = published
    ours, _, labels = load_classifier(folder)
    ids = padded(tokenizer)
    wanted = their_logits(theirs, ids)
    assert labels == LABELS and wanted.std() > 0.01
    with torch.no_grad():
        torch.testing.assert_close(ours(ids, LENGTHS), wanted, atol=1e-4, rtol=0)
    assert save_classifier(ours, tokenizer, labels, tmp_path / "out") in FAMILIES
    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    torch.testing.assert_close(their_logits(again, ids), wanted, atol=1e-5, rtol=0)
    assert again.config.id2label == dict(enumerate(LABELS))
    assert again.config.label2id == {label: i for i, label in enumerate(LABELS)}
    back, _, _ = load_classifier(tmp_path / "out")
    for (name, first), second in zip(ours.named_parameters(), back.parameters(), strict=True):
        assert torch.equal(first, second), name


def test_their_pipeline_gives_our_probabilities(model: GPT, tokenizer: Tokenizer, tmp_path: Path):
    config = model.config.model_copy(update={"qk_norm": False, "feed_forward": "swiglu"})
    torch.manual_seed(3)
    ours = Classifier(config, 2).eval()
    with torch.no_grad():
        ours.head.weight.mul_(50)
    assert save_classifier(ours, tokenizer, ["no", "yes"], tmp_path / "out") == "llama"
    theirs = transformers.pipeline("text-classification", model=str(tmp_path / "out"), device="cpu")
    texts = ["Mia is in the garden.", "小红", "Where is Tom? " * 3]
    given = theirs(texts, batch_size=3, top_k=None)
    for text, scores in zip(texts, given, strict=True):
        ids = tokenizer.encode(text)
        with torch.no_grad():
            wanted = ours(torch.tensor([ids]), torch.tensor([len(ids)]))[0].softmax(-1)
        found = {score["label"]: score["score"] for score in scores}
        assert [found["no"], found["yes"]] == pytest.approx(wanted.tolist(), abs=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "first"])
@torch.no_grad()
def test_what_no_family_has_is_our_own_kind(pooling: str, model: GPT, tokenizer, tmp_path: Path):
    llama = model.config.model_copy(update={"qk_norm": False, "feed_forward": "swiglu"})
    ours = Classifier(llama, 3, pooling).eval()
    assert save_classifier(ours, tokenizer, LABELS, tmp_path / "out") == "groundup"
    again, its_tokenizer, labels = load_classifier(tmp_path / "out")
    ids = padded(tokenizer)
    assert torch.equal(again(ids, LENGTHS), ours(ids, LENGTHS))
    assert (again.pooling, labels, again.config) == (pooling, LABELS, ours.config)
    assert its_tokenizer.fingerprint == tokenizer.fingerprint


@pytest.fixture
def directory(model: GPT, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    save_classifier(Classifier.from_gpt(model, 3), tokenizer, LABELS, tmp_path / "labels")
    return tmp_path / "labels"


def test_a_classifier_writes_no_text_and_a_language_model_gives_no_labels(
    directory: Path, model: GPT, tokenizer: Tokenizer, tmp_path: Path
):
    with pytest.raises(InputError, match="gives labels to texts"):
        groundup.load(directory)
    groundup.save(model, tokenizer, tmp_path / "words")
    with pytest.raises(InputError, match="no labels to give"):
        load_classifier(tmp_path / "words")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"problem_type": "multi_label_classification"}, "multi_label"),
        ({"id2label": {"0": "x"}}, "1 outputs for a number"),
        ({"id2label": {"0": "x", "2": "y"}}, "not 0 to 1"),
        ({"pooling": "max"}, "not one of last, mean, first"),
        ({"id2label": {"0": "x", "1": "y"}}, r"shape \(3, 32\), but the config asks for \(2, 32\)"),
    ],
)
def test_other_kinds_of_answers_are_refused_with_the_reason(directory, change: dict, said: str):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises((InputError, CorruptFileError), match=said):
        load_classifier(directory)


def test_a_head_that_is_missing_is_named(directory: Path):
    weights = load_file(directory / "model.safetensors")
    save_file(
        {n: w for n, w in weights.items() if "head" not in n}, directory / "model.safetensors"
    )
    with pytest.raises(CorruptFileError, match=r"'head\.weight' is missing"):
        load_classifier(directory)
