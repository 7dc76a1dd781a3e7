"""Classifiers: padding is provably nothing, the body is the language model's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.model.classifier import POOLINGS, Classifier
from groundup.model.config import ModelConfig
from groundup.model.gpt import GPT
from groundup.model.presets import PRESETS, preset
from tests.model.test_parts import PARTS, SMALL, small

SIZES = {"d_model": 24, "n_layers": 2, "n_heads": 4, "context_length": 48, "vocab_size": 50}
# All that turns positions, adds them, or looks over a text in its own way.
KINDS = {
    name: ModelConfig.parse(SMALL | {"context_length": 48} | part) for name, part in PARTS.items()
}
KINDS |= {
    "longrope": ModelConfig.parse(SMALL | {"context_length": 48, "rope_scaling": {
        "kind": "longrope", "factor": 4.0, "original_context_length": 12,
        "short_factors": [1.0] * 3, "long_factors": [4.0] * 3,
    }}),
    "sinusoidal": ModelConfig.parse(SMALL | {"context_length": 48, "position": "sinusoidal"}),
}  # fmt: skip
KINDS |= {
    name: preset(
        name, **SIZES | ({"n_kv_heads": 2, "d_ff": 32} if "llama" in name else {}), head_dim=6
    )
    for name in (
        "nano",
        "llama-like",
        "transformer-2017",
        "gpt-1",
        "gpt-2-small",
        "gpt-3-small",
        "llama-3-8b-shape",
        "nanochat-d20-shape",
    )
}


def classifier(config: ModelConfig, pooling: str, labels: int = 3) -> Classifier:
    """A small one with weights large enough to matter."""
    torch.manual_seed(1)
    model = Classifier(config, labels, pooling).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


IN_COMPANY = [
    classifier(KINDS[name], pooling)
    for name, pooling in (("memory", "last"), ("neighbours", "mean"), ("gpt-2-small", "last"))
]


@pytest.fixture(params=KINDS)
def config(request) -> ModelConfig:
    return KINDS[request.param]


@torch.no_grad()
@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_of_any_length_changes_no_probability(config: ModelConfig, pooling: str):
    model = classifier(config, pooling)
    text, length = torch.randint(0, 50, (1, 7)), torch.tensor([7])
    alone = model(text, length).softmax(-1)
    assert alone.max() - alone.min() > 1e-3
    longest = 12 if config.rope_scaling.kind == "longrope" else 48  # see below
    for size in (8, 12, 31, longest):
        padded = torch.cat([text, torch.randint(0, 50, (1, size - 7))], dim=1)
        torch.testing.assert_close(model(padded, length).softmax(-1), alone, atol=1e-5, rtol=0)
        if size <= longest:  # beside a text that needs the whole row
            batch = torch.cat([padded, torch.randint(0, 50, (1, size))])
            together = model(batch, torch.tensor([7, size])).softmax(-1)
            torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)
    beyond_the_context = torch.cat([text, torch.randint(0, 50, (1, 93))], dim=1)
    given = model(beyond_the_context, length).softmax(-1)
    torch.testing.assert_close(given, alone, atol=1e-5, rtol=0)


@torch.no_grad()
@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_a_text_gets_the_same_probabilities_in_any_company(lengths: list[int], seed: int):
    torch.manual_seed(seed)
    texts = [torch.randint(0, 50, (length,)) for length in lengths]
    batch = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=seed % 50)
    for model in IN_COMPANY:
        together = model(batch, torch.tensor(lengths)).softmax(-1)
        alone = [model(text[None], torch.tensor([len(text)])).softmax(-1) for text in texts]
        torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_last_token_and_the_mean_see_the_whole_text_and_the_first_only_itself():
    ids, length = torch.randint(0, 50, (1, 9)), torch.tensor([9])
    for pooling, place, sees in (("last", 0, True), ("mean", 0, True), ("mean", 8, True),
                                 ("first", 0, True), ("first", 8, False)):  # fmt: skip
        model = classifier(KINDS["nano"], pooling)
        changed = ids.clone()
        changed[0, place] = (changed[0, place] + 1) % 50
        assert (not torch.equal(model(ids, length), model(changed, length))) is sees


@pytest.mark.parametrize("tied", [False, True])
def test_the_body_is_the_language_models_own(tied: bool):
    gpt = GPT(ModelConfig.parse(SMALL | {"tie_embeddings": tied}))
    made = Classifier.from_gpt(gpt, 4, "mean")
    theirs = dict(gpt.named_parameters())
    ours = dict(made.named_parameters())
    assert set(ours) == {*theirs, "head.weight"}
    assert all(ours[name] is theirs[name] for name in ours if name != "head.weight")
    assert made.head.weight.shape == (4, SMALL["d_model"])
    assert made.head.weight.std() < 0.05 and made.pooling == "mean"
    ids = torch.randint(0, 50, (2, 9))
    torch.testing.assert_close(made.hidden(ids), gpt.hidden(ids))


@torch.no_grad()
def test_a_new_head_finds_all_labels_nearly_equally_likely():
    made = Classifier.from_gpt(small(), 4)
    probabilities = made(torch.randint(0, 50, (8, 9)), torch.full((8,), 9)).softmax(-1)
    assert (probabilities - 0.25).abs().max() < 0.1


def test_every_part_of_a_classifier_learns(config: ModelConfig):
    model = classifier(config, "mean").train()
    model(torch.randint(0, 50, (4, 20)), torch.tensor([20, 9, 3, 15])).logsumexp(
        -1
    ).sum().backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert [name for name in still if "experts." not in name] == []


def test_the_presets_tried_are_all_kinds_that_there_are():
    shapes = ("n_layers", "d_model", "n_heads", "context_length", "head_dim", "vocab_size", "d_ff")
    kinds = {
        str({k: v for k, v in values.items() if k not in shapes}) for values in PRESETS.values()
    }
    tried = {
        str({k: v for k, v in PRESETS[n].items() if k not in shapes}) for n in KINDS if n in PRESETS
    }
    assert kinds == tried
