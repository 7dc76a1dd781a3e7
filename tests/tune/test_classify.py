"""Learning to label: the loss, what is trained, and a task that is learned."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from groundup.data.examples import Example
from groundup.data.labelled import Labelled, LabelledBatches, encode_texts
from groundup.data.parts import divide
from groundup.errors import InputError
from groundup.evaluate.classification import measure
from groundup.evaluate.prediction import predict
from groundup.model.classifier import Classifier
from groundup.model.gpt import GPT
from groundup.model.lora import LoraConfig, adapter_parameters, add_lora
from groundup.train.config import TrainConfig
from groundup.train.loop import on_device, start_run, train
from groundup.train.objectives import next_token
from groundup.tune.classify import balanced_weights, classification, freeze
from groundup.tune.config import ClassifyConfig


def batch() -> Labelled:
    torch.manual_seed(0)
    ids = torch.randint(0, 300, (4, 12)).numpy()
    return Labelled(ids, np.array([12, 3, 7, 12]), np.array([0, 1, 1, 2]))


@pytest.fixture
def classifier(model: GPT) -> Classifier:
    return Classifier.from_gpt(model, 3)


def test_the_loss_is_the_weighted_cross_entropy_of_the_labels(classifier: Classifier):
    given = on_device(batch(), torch.device("cpu"))
    weights = np.array([0.5, 2.0, 1.0])
    loss, figures = classification(weights, label_smoothing=0.1)(classifier, given)
    log_p = classifier(given.ids, given.lengths).log_softmax(-1)
    nats = -(0.9 * log_p[range(4), given.labels] * torch.tensor([0.5, 2, 2, 1])).sum()
    nats = nats - 0.1 / 3 * (log_p * torch.from_numpy(weights)).sum()
    torch.testing.assert_close(loss, nats.float() / 5.5)
    assert figures["train_accuracy"] == (log_p.argmax(-1) == given.labels).float().mean()
    plain, _ = classification()(classifier, given)
    torch.testing.assert_close(plain, F.nll_loss(log_p, given.labels))


@pytest.mark.parametrize("tied", [False, True])
def test_the_loss_of_the_next_token_is_that_of_each_text_alone(model: GPT, tied: bool):
    torch.manual_seed(0)
    gpt = GPT(model.config.model_copy(update={"tie_embeddings": tied}))
    classifier = Classifier.from_gpt(gpt, 3, "mean")
    given = on_device(batch(), torch.device("cpu"))
    plain, _ = classification()(classifier, given)
    both, figures = classification(language_loss=0.5, language_model=gpt)(classifier, given)
    texts = [ids[:length] for ids, length in zip(given.ids, given.lengths, strict=True)]
    nats = sum((len(text) - 1) * next_token(gpt, text[None]) for text in texts)
    wanted = nats / sum(len(text) - 1 for text in texts)
    torch.testing.assert_close(figures["language_loss"], wanted)
    torch.testing.assert_close(both, plain + 0.5 * wanted)
    both.backward()
    assert (gpt.head.weight.grad is not None) is tied  # else it stays as it is, for it is not saved


def test_single_tokens_have_nothing_to_guess(model: GPT):
    classifier = Classifier.from_gpt(model, 3)
    given = batch()._replace(lengths=np.ones(4, np.int64))
    objective = classification(language_loss=0.5, language_model=model)
    loss, figures = objective(classifier, on_device(given, torch.device("cpu")))
    assert figures["language_loss"] == 0 and loss.isfinite()


def test_balanced_weights_are_scikit_learns():
    labels = np.array([0] * 90 + [1] * 9 + [2])
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced_weights(labels, 3) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("train_layers", "trained"),
    [
        ("head", {"head"}),
        (1, {"blocks.1", "final_norm", "head"}),
        (2, {"blocks.0", "blocks.1", "final_norm", "head"}),
        ("all", {"embedding", "blocks.0", "blocks.1", "final_norm", "head"}),
    ],
)
def test_only_what_is_asked_for_learns(classifier: Classifier, train_layers, trained: set[str]):
    freeze(classifier, train_layers)
    before = {name: p.detach().clone() for name, p in classifier.named_parameters()}
    run = start_run(classifier, TrainConfig(steps=3, optimizer="adamw", learning_rate=1e-2))
    train(run, lambda n: batch(), classification())
    changed = {
        name for name, p in classifier.named_parameters() if not torch.equal(p, before[name])
    }
    assert {
        ".".join(n.split(".")[: 2 if n.startswith("blocks") else 1]) for n in changed
    } == trained


@pytest.mark.parametrize(("train_layers", "said"), [(3, "there are 2"), ("lora", "--lora-rank 8")])
def test_what_is_not_there_cannot_be_trained(classifier: Classifier, train_layers, said: str):
    with pytest.raises(InputError) as error:
        freeze(classifier, train_layers)
    assert said in str(error.value)


@pytest.mark.parametrize("train_layers", ["all", "lora"])
def test_beside_an_adapter_only_the_head_learns(model: GPT, train_layers: str):
    add_lora(model, LoraConfig(rank=2))
    classifier = Classifier.from_gpt(model, 3)
    freeze(classifier, train_layers)
    trained = {name for name, p in classifier.named_parameters() if p.requires_grad}
    assert trained == {*adapter_parameters(classifier), "head.weight"}
    with pytest.raises(InputError, match="beside it, only the head"):
        freeze(classifier, "head")


def test_settings_take_a_number_of_blocks_or_a_word():
    assert ClassifyConfig.parse({"train_layers": "2"}).train_layers == 2
    assert ClassifyConfig.parse({"train_layers": "head"}).train_layers == "head"
    with pytest.raises(InputError):
        ClassifyConfig.parse({"train_layers": "haed"})


def test_a_task_is_learned_and_measured(tokenizer, model: GPT):
    names, places = ("Mia", "Tom", "小明", "小红"), ("garden", "kitchen", "花园", "厨房")
    rows = [
        Example(f"{name} {'is in' if place.isascii() else '在'} the {place} {i}", place, f"{name}{i}")
        for name in names for place in places for i in range(12)
    ]  # fmt: skip
    parts = divide(rows, ClassifyConfig())
    ids, _ = encode_texts(tokenizer, [row.text for row in parts.train], 64)
    classifier = Classifier.from_gpt(model, len(parts.labels), "mean")
    batches = LabelledBatches(ids, parts.ids(parts.train), 16, seed=0)
    config = TrainConfig(steps=4 * len(batches), optimizer="adamw", learning_rate=3e-3)
    run = start_run(classifier, config)
    train(run, batches, classification())
    assert run.figures["train_accuracy"] > 0.9
    assert run.state.tokens == sum(batches(n).tokens for n in range(4 * len(batches)))
    texts = [row.text for row in parts.test]
    found = measure(
        predict(classifier, tokenizer, texts), parts.ids(parts.test), parts.labels, texts
    )
    assert found.accuracy == 1.0 and found.mistakes == []
