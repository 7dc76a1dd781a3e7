"""A classifier at work: its labels and probabilities are the library's."""

import httpx2 as httpx
import pytest
from tests.serve.conftest import serving

from groundup.evaluate.prediction import predict
from groundup.model.classifier import Classifier
from groundup.weights.classifier import load_classifier, save_classifier

TEXTS = ["Mia is in the garden.", "小明在花园。"]


def test_labels_over_http_are_the_library_s(model, tokenizer, server, tmp_path):
    save_classifier(
        Classifier.from_gpt(model, 2, "mean"), tokenizer, ["ham", "垃圾"], tmp_path / "spam"
    )
    classifier, tokenizer, labels = load_classifier(tmp_path / "spam")
    wanted = predict(classifier, tokenizer, TEXTS)
    with serving(tmp_path / "spam", tmp_path / "log.txt") as running:

        def classify(**body):
            return httpx.post(f"{running.url}/classify", json=body)

        data = classify(input=TEXTS, model="spam").json()["data"]
        assert [row["label"] for row in data] == [labels[i] for i in wanted.argmax(axis=1)]
        for row, probabilities in zip(data, wanted, strict=True):
            assert [row["probs"][label] for label in labels] == pytest.approx(
                probabilities.tolist(), abs=1e-6
            )
        (alone,) = classify(input=TEXTS[0]).json()["data"]
        assert alone["probs"] == pytest.approx(data[0]["probs"], abs=1e-6)
        assert "text 1 is empty" in classify(input=["a", " "]).json()["error"]["message"]
        chat = httpx.post(
            f"{running.url}/chat/completions",
            json={"messages": [{"role": "user", "content": "Hi"}]},
        )
        assert chat.status_code == 400 and "use /v1/classify" in chat.json()["error"]["message"]
    refused = httpx.post(
        f"{server.url}/classify", json={"input": "a"}, headers={"Authorization": "Bearer sk-test"}
    )
    assert refused.status_code == 400 and "no labels" in refused.json()["error"]["message"]
